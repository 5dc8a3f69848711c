"""Ways to prepare images, ranked by how well they fit what a network saw in training."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.printable import printable
from backaudit.core.progress import track
from backaudit.core.suspect import as_input
from backaudit.loading.clean_images.images import RawImages
from backaudit.loading.clean_images.matching import agreed_labels
from backaudit.loading.clean_images.resizing import fitted
from backaudit.loading.preparation.consistency import (
    divergence,
    has_statistics,
    operations,
    shifted,
)
from backaudit.loading.preparation.conventions import UNIT, Convention, conventions
from backaudit.nets.metrics import clean_accuracy
from backaudit.nets.normalised import are_probabilities, log_of

Size = tuple[int, int]

# The first batch-norm layers tell conventions apart at a fraction of the cost of all of them, but
# hardly tell sizes apart; so they draw up a shortlist for each size, which all layers then judge.
FIRST_LAYERS = 3
SHORTLIST = 3
NEAR_TIE = 1.3
MOST_IMAGES = 64
MOST_ANSWERS = 512
FEWEST_IMAGES = 8
MOST_PIXELS = 1 << 19
MOST_USUAL = 3
# Multiplications that a stage may spend: about half a second on one core.
BUDGET = 30_000_000_000
STATISTICS = "by batch-norm statistics: divergence"
LABELS = "by clean labels, for lack of batch-norm statistics: cross-entropy"
ANSWERS = (
    "a guess, for lack of batch-norm statistics and labels: decisiveness and variety of the answers"
)
# What networks, and definitions that users wrote, raise on a size they do not fit.
MISFITS = (
    RuntimeError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    AssertionError,
)


@dataclass(frozen=True)
class Trial:
    """One way to prepare images.

    Args:
        size: height and width in pixels.
        convention: the normalisation.
        shift: whether images are compared after a shift over a black border, as in training.
    """

    size: Size
    convention: Convention
    shift: bool = False


@dataclass(frozen=True)
class Reading:
    """How badly a trial fits.

    Args:
        trial: what was tried.
        misfit: lower is better, in the criterion's unit.
        value: the misfit as the report words it.
    """

    trial: Trial
    misfit: float
    value: str


@dataclass(frozen=True)
class Ranking:
    """Readings of all trials that were judged to the end.

    Args:
        criterion: what was measured, for the report.
        readings: best first.
    """

    criterion: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Trials:
    """Tries ways to prepare images on a network, which is left as it was.

    Args:
        network: in eval mode, without normalisation.
        channels: that the network takes.
        raw: the clean images.
    """

    network: nn.Module
    channels: int
    raw: RawImages

    @torch.no_grad()
    def misfit(self, size: Size) -> str | None:
        """Why the network gives no scores (N, K) for images of a size; None if it does."""
        ((_, inputs),) = self._prepared(self.raw.spread(2), [Trial(size, UNIT)])
        try:
            answer: object = self.network(inputs)
        except MISFITS as error:
            return printable(str(error).partition("\n")[0], limit=160)
        if isinstance(answer, Tensor):
            fits = answer.ndim == len(answer) == 2
            return None if fits else f"it answers two images with {tuple(answer.shape)}"
        return f"it answers with a {type(answer).__name__}"

    def ranked(self, trials: Sequence[Trial], keep: Convention | None = None) -> Ranking:
        """Rank trials by batch-norm statistics, else by labels, else by answers.

        Args:
            trials: to compare, the most usual first.
            keep: a convention to judge to the end even if it starts badly.
        """
        if has_statistics(self.network):
            return self._by_statistics(trials, keep)
        # Without statistics each trial runs the whole network, and a guess does better among few.
        usual = (keep, *conventions(self.channels)[:MOST_USUAL])
        few = [trial for trial in trials if trial.convention in usual] or trials
        if not self.raw.labelled:
            return self._by_answers(few)
        dear = self._cost(trials, None) * FEWEST_IMAGES > BUDGET
        return self._by_labels(few if dear else trials)

    def _by_statistics(self, trials: Sequence[Trial], keep: Convention | None) -> Ranking:
        variants = [replace(trial, shift=shift) for trial in trials for shift in (False, True)]
        finalists = _shortlist(self._divergences(variants, FIRST_LAYERS), keep)
        readings = self._divergences(finalists, None)
        tied = {r.trial for r in readings if r.misfit <= NEAR_TIE * readings[0].misfit}
        winner = self._of_tied([trial for trial in variants if trial in tied])
        readings.sort(key=lambda reading: reading.trial != winner)
        return Ranking(STATISTICS, tuple(readings))

    def _of_tied(self, tied: Sequence[Trial]) -> Trial:
        """The most usual of some trials, unless labels speak clearly for another."""
        if len(tied) > 1 and self.raw.labelled:
            readings = self._by_labels(tied).readings
            usual = next(reading for reading in readings if reading.trial == tied[0])
            if usual.misfit > NEAR_TIE * readings[0].misfit:
                return readings[0].trial
        return tied[0]

    def _divergences(self, trials: Sequence[Trial], layers: int | None) -> list[Reading]:
        raw = self._affordable(trials, layers, MOST_IMAGES)
        readings = []
        for trial, inputs in self._prepared(raw, trials):
            found = divergence(self.network, inputs, layers)
            readings.append(Reading(trial, found, f"{found:.4f}"))
        return sorted(readings, key=lambda reading: reading.misfit)

    def _by_labels(self, trials: Sequence[Trial]) -> Ranking:
        """Cross-entropy sees a wrong scale, to which accuracy is all but blind."""
        raw = self._affordable(trials, None, MOST_ANSWERS)
        readings = []
        for trial, inputs in self._prepared(raw, trials):
            logits = self._logits(inputs)
            labels = agreed_labels(raw, logits.argmax(1), logits.shape[1])
            loss = float(F.cross_entropy(logits, labels, ignore_index=-1))
            accuracy = clean_accuracy(logits.argmax(1), labels)
            readings.append(Reading(trial, loss, f"{loss:.2f} at {accuracy:.0%} accuracy"))
        readings.sort(key=lambda reading: reading.misfit)
        return Ranking(LABELS, tuple(readings))

    def _by_answers(self, trials: Sequence[Trial]) -> Ranking:
        """A network that sees what it knows answers decisively, and not always the same.

        The first class's lead in standard deviations of the logits, which is free of their scale,
        times the number of classes that are answered (perplexity of the predictions).
        """
        raw = self._affordable(trials, None, MOST_ANSWERS)
        readings = []
        for trial, inputs in self._prepared(raw, trials):
            logits = self._logits(inputs)
            first, second = logits.topk(2, dim=1).values.unbind(1)
            spread = logits.std(1).clamp_min(torch.finfo(logits.dtype).tiny)
            shares = torch.bincount(logits.argmax(1)) / len(logits)
            variety = torch.special.entr(shares).sum().exp()
            score = float(((first - second) / spread).mean() * variety)
            readings.append(Reading(trial, -score, f"{score:.2f}"))
        readings.sort(key=lambda reading: reading.misfit)
        return Ranking(ANSWERS, tuple(readings))

    def _affordable(self, trials: Sequence[Trial], layers: int | None, most: int) -> RawImages:
        """As many of the images, evenly spread, as all trials together can afford."""
        budget = BUDGET // max(1, self._cost(trials, layers))
        pixels = MOST_PIXELS // max(trial.size[0] * trial.size[1] for trial in trials)
        return self.raw.spread(min(most, max(FEWEST_IMAGES, min(budget, pixels))))

    def _cost(self, trials: Sequence[Trial], layers: int | None) -> int:
        """Multiplications that all trials need for one image."""
        times = Counter(trial.size for trial in trials)
        bare = self._prepared(self.raw.spread(2), [Trial(size, UNIT) for size in times])
        counted = {trial.size: operations(self.network, inputs, layers) for trial, inputs in bare}
        return sum(count * counted[size] for size, count in times.items()) // 2

    def _prepared(self, raw: RawImages, trials: Sequence[Trial]) -> Iterator[tuple[Trial, Tensor]]:
        """Each trial with the inputs (N, C, H, W) that it makes of the images."""
        device = next(self.network.parameters()).device
        resized: dict[tuple[Size, bool], Tensor] = {}
        for trial in track(trials, "choosing the preprocessing"):
            place = trial.size, trial.shift
            if place not in resized:
                images = as_input(fitted(raw.images, trial.size, self.channels), device)
                resized[place] = shifted(images) if trial.shift else images
            mean = resized[place].new_tensor(trial.convention.mean)[:, None, None]
            std = resized[place].new_tensor(trial.convention.std)[:, None, None]
            yield trial, (resized[place] - mean) / std

    def _logits(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            answer: Tensor = self.network(inputs).float().cpu()
        return log_of(answer) if are_probabilities(answer) else answer


def _shortlist(rough: Sequence[Reading], keep: Convention | None) -> list[Trial]:
    """The best few conventions of each size, each in its better variant, and the one to keep."""
    seen: set[tuple[Size, Convention]] = set()
    taken: Counter[Size] = Counter()
    short = []
    for trial in (reading.trial for reading in rough):
        if (trial.size, trial.convention) in seen:
            continue
        seen.add((trial.size, trial.convention))
        if taken[trial.size] < SHORTLIST or trial.convention == keep:
            taken[trial.size] += 1
            short.append(trial)
    return short

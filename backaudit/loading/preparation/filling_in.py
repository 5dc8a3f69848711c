"""A chain whose tensors leave much open -> the one filling that knows the clean images.

A wrong filling would be audited in silence. So one is taken only if it classifies labelled images
well and those with other pooling or strides fit worse beyond doubt; the usual activation stands
unless another fits better beyond doubt.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.progress import track
from backaudit.core.suspect import as_input
from backaudit.loading.clean_images.images import RawImages
from backaudit.loading.clean_images.matching import agreed_labels
from backaudit.loading.clean_images.resizing import fitted
from backaudit.loading.preparation.consistency import divergence, has_statistics, operations
from backaudit.loading.preparation.conventions import Convention, conventions
from backaudit.loading.preparation.preprocessing import LARGEST_NATIVE
from backaudit.loading.recognition.fitting import fill
from backaudit.nets.chains.filling import ACTIVATIONS, Filling, geometries
from backaudit.nets.chains.network import ChainNetwork
from backaudit.nets.chains.reading import Chain
from backaudit.nets.metrics import clean_accuracy

# Batch-norm statistics tell fillings apart with far fewer images than labels do.
STATISTICS_IMAGES = 64
LABELS_IMAGES = 256
LAST_IMAGES = 1024
FEWEST_IMAGES = 32
USUAL = 4
KEPT = 3
FINALISTS = 6
# Multiplications that a stage may spend: about a second on one core.
BUDGET = 20_000_000_000
LEAST_ABOVE_CHANCE = 0.25
TEMPERATURES = tuple(2 ** (step / 2) for step in range(-4, 11))
# Standard errors by which the loss must differ to be different beyond doubt.
CERTAIN = 3.0
# By how much batch-norm statistics must fit better to be better beyond doubt, and how well at all.
CLEARER = 2.0
POOR = 0.1
# Statistics that are level, up to what few images tell.
LEVEL = 1.1
# Fillings that answer alike so often are as good as the same.
ALIKE = 0.98
KNOWN = "its tensors are a plain chain ({}) that no library knows"
OPEN = "they do not tell activations, pooling and strides"
ADVICE = (
    "Write a definition with `backaudit inspect FILE --skeleton net.py`, correct what it marks as "
    "guessed, and give --model-def net.py:Net."
)


@dataclass(frozen=True)
class Tried:
    """A filling with the normalisation that does best with it.

    Args:
        filling: what was tried.
        losses: (N,) cross-entropy of each image.
        tempered: (N,) the same at the temperature that is best for all, which leaves out how sure
            the network is of itself.
        right: (N,) bool, which images are classified as labelled.
        predictions: (N,) classes.
        misfit: divergence from the batch-norm statistics; without them, the mean loss.
        statistics: whether the misfit is one of statistics.
    """

    filling: Filling
    losses: Tensor
    tempered: Tensor
    right: Tensor
    predictions: Tensor
    misfit: float
    statistics: bool

    @property
    def accuracy(self) -> float:
        """Share of images that are classified as labelled."""
        return float(self.right.double().mean())

    def describe(self) -> str:
        """What it is and how well it does."""
        loss = _mean(self.losses)
        return f"{self.filling.describe()} ({self.accuracy:.0%}, cross-entropy {loss:.2f})"

    def beats(self, other: "Tried") -> bool:
        """Whether it is better beyond doubt."""
        if self.statistics and self.misfit <= POOR and CLEARER * self.misfit <= other.misfit:
            return True
        pairs = ((self.losses, other.losses), (self.tempered, other.tempered))
        return all(_is_less(mine, theirs) for mine, theirs in pairs)

    def answers_like(self, other: "Tried") -> bool:
        """Whether it hardly ever answers otherwise."""
        return clean_accuracy(self.predictions, other.predictions) >= ALIKE


@dataclass(frozen=True)
class FilledIn:
    """The filling that was chosen.

    Args:
        network: with the weights.
        filling: what was filled in.
        how: what speaks for it, in a sentence.
    """

    network: nn.Module
    filling: Filling
    how: str


def fill_in(
    chain: Chain, state: Mapping[str, Tensor], raw: RawImages, stated: Convention | None
) -> FilledIn:
    """Choose what shapes leave open by what knows labelled images best.

    Args:
        chain: the layers.
        state: their tensors.
        raw: clean images.
        stated: the normalisation, if options or the file state it.

    Raises:
        CheckpointError: if there are no labels, or no filling stands out.
    """
    known = KNOWN.format(chain.describe())
    if not raw.labelled:
        raise CheckpointError(
            f"{known}, and {OPEN}; with labelled clean images they could be chosen. {ADVICE}"
        )
    search = _Search(chain, state, raw, stated)
    ranked = search.ranked()
    if not ranked:
        raise CheckpointError(f"{known}, and no usual pooling fits their shapes. {ADVICE}")
    best = ranked[0]
    chance = _chance(raw, chain.num_classes)
    if best.accuracy < chance + LEAST_ABOVE_CHANCE * (1 - chance):
        raise CheckpointError(
            f"{known}, {OPEN}, and no usual choice knows the clean images; the best is "
            f"{best.describe()}. {ADVICE}"
        )
    taken, rivals = _most_usual(ranked)
    usual = taken.filling.activation == ACTIVATIONS[0]
    doubtful = [
        each for each in rivals if not usual or each.filling.activation == taken.filling.activation
    ]
    if doubtful:
        both = f"{taken.describe()} and {doubtful[0].describe()}"
        raise CheckpointError(
            f"{known}, {OPEN}, and two choices do about as well: {both}. {ADVICE}"
        )
    return FilledIn(search.network(taken.filling), taken.filling, _how(taken, rivals, ranked))


def _most_usual(ranked: Sequence[Tried]) -> tuple[Tried, list[Tried]]:
    """The most usual of those that are not beaten, and those that do about as well as it."""
    best = ranked[0]
    level = [best, *(each for each in ranked[1:] if not best.beats(each))]
    usual = [each for each in level if each.filling.activation == ACTIVATIONS[0]]
    taken = (usual or level)[0]
    others = [each for each in ranked if each is not taken and not taken.beats(each)]
    return taken, [each for each in others if not taken.answers_like(each)]


def _how(taken: Tried, rivals: Sequence[Tried], ranked: Sequence[Tried]) -> str:
    others = [each for each in ranked if each is not taken and not taken.answers_like(each)]
    how = (
        f"Activations, pooling and strides are not in the file: {taken.filling.describe()} was "
        f"taken, with which {taken.accuracy:.0%} of {len(taken.right)} clean images are classified "
        f"as labelled (cross-entropy {_mean(taken.losses):.2f})"
    )
    if rivals:
        names = ", ".join(dict.fromkeys(each.filling.activation for each in rivals))
        return f"{how}; with {names} they would be about as well, but ReLU is most usual."
    return f"{how}; next best is {others[0].describe()}." if others else f"{how}."


class _Search:
    """Tries fillings on images; first geometries with the usual activation, then the others."""

    def __init__(
        self,
        chain: Chain,
        state: Mapping[str, Tensor],
        raw: RawImages,
        stated: Convention | None,
    ) -> None:
        self.chain, self.state, self.raw, self.stated = chain, state, raw, stated
        self.normed = any(unit.norm is not None for unit in chain.units)
        self.first = STATISTICS_IMAGES if self.normed else LABELS_IMAGES

    def network(self, filling: Filling) -> nn.Module:
        return fill(ChainNetwork(self.chain, filling), self.state)

    def ranked(self) -> list[Tried]:
        rough = self._tried(self._geometries(), self.first)
        bases = [each.filling for each in rough[:KEPT]]
        variants = [replace(base, activation=name) for name in ACTIVATIONS for base in bases]
        better = self._tried(variants, self.first)[:FINALISTS]
        return self._tried([each.filling for each in better], LAST_IMAGES)

    def _geometries(self) -> list[Filling]:
        """Those for images of the size that the clean ones have, if there are any; else all."""
        height, width = self.raw.uniform_size or (0, 0)
        return geometries(self.chain, height if height == width <= LARGEST_NATIVE else None)

    def _tried(self, fillings: Sequence[Filling], most: int) -> list[Tried]:
        """Each filling with its best normalisation, those that fit best first."""
        if not fillings:
            return []
        raw = self._affordable(fillings, most)
        tried = [self._best(each, raw) for each in track(fillings, "filling in the network")]
        least = min(each.misfit for each in tried)
        return sorted(tried, key=partial(_rank, least))

    def _affordable(self, fillings: Sequence[Filling], most: int) -> RawImages:
        cost = 0
        for one in dict.fromkeys(replace(each, activation=ACTIVATIONS[0]) for each in fillings):
            probe = torch.zeros(1, one.in_channels, one.size, one.size)
            alike = sum(_same_geometry(one, each) for each in fillings)
            cost += alike * operations(self.network(one), probe)
        runs = 2 if self.normed else USUAL
        return self.raw.spread(max(FEWEST_IMAGES, min(most, BUDGET // max(1, cost * runs))))

    def _best(self, filling: Filling, raw: RawImages) -> Tried:
        network = self.network(filling)
        usual = (self.stated,) if self.stated else conventions(filling.in_channels)[:USUAL]
        size = (filling.size, filling.size)
        images = as_input(fitted(raw.images, size, filling.in_channels), torch.device("cpu"))
        candidates = [_normalised(images, each) for each in usual]
        if has_statistics(network):
            # What reaches the first of these layers depends on the normalisation most.
            misfits = [divergence(network, part[:FEWEST_IMAGES], 1) for part in candidates]
            inputs = candidates[misfits.index(min(misfits))]
            misfit = divergence(network, inputs[:STATISTICS_IMAGES])
            return replace(self._one(network, filling, raw, inputs), misfit=misfit, statistics=True)
        tried = [self._one(network, filling, raw, inputs) for inputs in candidates]
        return min(tried, key=lambda each: each.misfit)

    @torch.no_grad()
    def _one(self, network: nn.Module, filling: Filling, raw: RawImages, inputs: Tensor) -> Tried:
        logits = torch.cat([network(part) for part in inputs.split(STATISTICS_IMAGES)])
        predictions = logits.argmax(1)
        labels = agreed_labels(raw, predictions, self.chain.num_classes)
        losses = _losses(logits, labels)
        tempered = min((_losses(logits / t, labels) for t in TEMPERATURES), key=_mean)
        right = predictions == labels
        misfit = _mean(losses)
        return Tried(filling, losses, tempered, right, predictions, misfit, statistics=False)


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")


def _mean(losses: Tensor) -> float:
    return float(losses.mean())


def _is_less(mine: Tensor, theirs: Tensor) -> bool:
    """Whether losses (N,) of the same images are less beyond doubt."""
    more = theirs - mine
    return _mean(more) > CERTAIN * float(more.std()) / math.sqrt(len(more))


def _rank(least: float, tried: Tried) -> tuple[bool, float]:
    """Sort key: statistics do not see what follows the last of their layers; the loss does."""
    level = tried.misfit <= LEVEL * least
    return not level, _mean(tried.losses) if level else tried.misfit


def _same_geometry(one: Filling, other: Filling) -> bool:
    return replace(one, activation="") == replace(other, activation="")


def _normalised(images: Tensor, convention: Convention) -> Tensor:
    mean = images.new_tensor(convention.mean)[:, None, None]
    return (images - mean) / images.new_tensor(convention.std)[:, None, None]


def _chance(raw: RawImages, num_classes: int) -> float:
    labels = raw.labels or raw.indices or ()
    most = max((labels.count(each) for each in set(labels)), default=0)
    return max(1 / num_classes, most / max(1, len(labels)))

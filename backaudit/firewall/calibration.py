"""Fit a screener on clean images, and find its threshold on others."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError, SettingError
from backaudit.core.progress import track
from backaudit.core.screening import Calibration, conformal_threshold, images_needed
from backaudit.core.seeding import seeded
from backaudit.core.suspect import Suspect, as_input, batch_size
from backaudit.nets.guard import untouched
from backaudit.screeners.interface import Fit, Screener

DEFAULT_RATE = 0.05
# Scores that differ by less are taken as equal: of sums that rounding alone tells apart.
LEVEL = 1e-6


def calibrate(
    screener: Screener,
    suspect: Suspect,
    clean: CleanSet,
    *,
    false_flag_rate: float | None = None,
) -> Calibration:
    """Fit a screener on half of the clean images of each class, and score the other half.

    Args:
        screener: the method with its settings.
        suspect: the network; left as it was.
        clean: trusted images.
        false_flag_rate: share of clean images that may be flagged, in (0, 1); the threshold is
            then the split-conformal quantile. None for the method's own threshold, or for
            ``DEFAULT_RATE`` if it has none.

    Raises:
        NotApplicableError: if the method does not fit the suspect, or the clean images are too few.
        SettingError: if the rate is out of range, or takes more held-out images than there are.
    """
    name = screener.rule.name
    to_fit, held_out = clean.split()
    if not len(held_out):
        raise NotApplicableError("no class has two clean images, one to fit and one to test.")
    rate = _rate(screener, false_flag_rate, len(held_out))
    with untouched(suspect.network), seeded(0):
        fit = _plain(screener.fit(suspect, to_fit))
        scores, predicted = _scored(screener, suspect, fit, held_out)
    own = screener.threshold if rate is None else conformal_threshold(scores, rate)
    if own is None:
        raise NotApplicableError(f"{name} has no threshold.")
    return Calibration(
        method=name,
        settings=_plain(asdict(screener)),  # type: ignore[call-overload]
        fit=fit,
        threshold=float(own),
        threshold_source="method" if rate is None else "false-flag-rate",
        false_flag_rate=rate,
        clean_scores=scores,
        clean_predicted=predicted,
        notes=(*_told(fit), *_vacuous(scores, own, rate)),
    )


def _rate(screener: Screener, asked: float | None, held_out: int) -> float | None:
    """The rate that the threshold must keep to; None for the method's own threshold."""
    if asked is None and screener.threshold is not None:
        return None
    rate = DEFAULT_RATE if asked is None else asked
    if not 0 < rate < 1:
        raise SettingError(f"a false-flag rate of {rate} is not between 0 and 1")
    needed = images_needed(rate)
    if held_out >= needed:
        return rate
    missing = (
        f"a false-flag rate of {rate:.2%} takes {needed:,} held-out clean images, and there are "
        f"{held_out:,}: half of all clean images are held out, so give {2 * needed:,}"
    )
    if asked is None:
        name = screener.rule.name
        raise NotApplicableError(f"{name} has no threshold of its own, and {missing}.")
    raise SettingError(f"{missing}, or ask for {1 / (held_out + 1):.2%} or more")


def _scored(
    screener: Screener, suspect: Suspect, fit: Fit, held_out: CleanSet
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Score and predicted class of each held-out image, a batch at a time."""
    size = batch_size(held_out.images)
    example = as_input(held_out.images[:2], suspect.device)
    scorer = screener.scorer(suspect.network, fit, example)
    scores: list[float] = []
    predicted: list[int] = []
    with torch.no_grad():
        for images in track(held_out.images.split(size), f"{screener.rule.name}: scoring"):
            scored = scorer(as_input(images, suspect.device))
            scores += scored.scores.tolist()
            predicted += scored.logits.argmax(1).tolist()
    broken = len(scores) - int(torch.tensor(scores).isfinite().sum())
    if broken:
        raise NotApplicableError(
            f"{screener.rule.name} gives {broken} of {len(scores)} clean images no finite score."
        )
    return tuple(scores), tuple(predicted)


def _plain(learned: Any) -> Any:
    """Plain JSON, as it will be read from a file."""
    try:
        return json.loads(json.dumps(learned, allow_nan=False))
    except ValueError as error:
        raise NotApplicableError("what the screener learned holds no finite numbers.") from error


def _told(fit: Fit) -> Iterator[str]:
    notes = fit.get("notes", ())
    yield from (str(note) for note in notes)


def _vacuous(scores: Sequence[float], threshold: float, rate: float | None) -> Iterator[str]:
    """Say so if the threshold is the highest score, and clean images share it."""
    level = LEVEL * max(1.0, abs(threshold))
    sharing = sum(score >= threshold - level for score in scores)
    if rate is not None and max(scores) <= threshold + level and sharing > 1:
        yield (
            f"The threshold for a false-flag rate of {rate:.2%} is the highest score that clean "
            f"images reach, and {sharing:,} of {len(scores):,} share it: where no score can be "
            "higher, no image is ever flagged."
        )

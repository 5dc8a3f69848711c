"""Screen images batch by batch, with bounded memory."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from backaudit.core.errors import SettingError
from backaudit.firewall.screener import FittedScreener


@dataclass(frozen=True)
class ImageBatch:
    """Some images to screen.

    Args:
        paths: N names, for the report.
        images: (N, C, H, W) uint8 at the suspect's size.
    """

    paths: tuple[str, ...]
    images: Tensor


@dataclass(frozen=True)
class ImageResult:
    """What the screeners say about one image.

    Args:
        path: its name.
        score: of the first screener; higher is more likely triggered.
        flagged: whether any screener's score is above its threshold.
        predicted_class: of the unchanged network.
        p_value: for the first screener, how often a clean image scores as high (conformal,
            add-one), in (0, 1].
        scores: method -> score.
        flagged_by: methods whose threshold the image exceeds.
    """

    path: str
    score: float
    flagged: bool
    predicted_class: int
    p_value: float
    scores: Mapping[str, float]
    flagged_by: tuple[str, ...]


def screen(
    screeners: Sequence[FittedScreener], batches: Iterable[ImageBatch]
) -> Iterator[ImageResult]:
    """Screen images in the order in which they come, a batch at a time.

    Args:
        screeners: of one model, at least one, one a method.
        batches: images; only one batch is held in memory.

    Raises:
        SettingError: if there is no screener, or two are of one method.
    """
    methods = [screener.calibration.method for screener in screeners]
    if not methods or len(set(methods)) < len(methods):
        raise SettingError("give one screener or more, and one of each method")
    ranked = [_Ranked.of(screener) for screener in screeners]
    return (result for batch in batches for result in _results(ranked, batch))


@dataclass(frozen=True)
class _Ranked:
    """A screener with the scores of clean images to rank a score among.

    Args:
        screener: on the suspect.
        clean: scores of held-out clean images, ascending.
    """

    screener: FittedScreener
    clean: Sequence[float]

    @classmethod
    def of(cls, screener: FittedScreener) -> "_Ranked":
        return cls(screener, sorted(screener.calibration.clean_scores))

    @property
    def method(self) -> str:
        return self.screener.calibration.method

    def p_value(self, score: float) -> float:
        """Conformal: the score's place among those of clean images and itself."""
        as_high = len(self.clean) - bisect_left(self.clean, score)
        return (1 + as_high) / (len(self.clean) + 1)


def _results(screeners: Sequence[_Ranked], batch: ImageBatch) -> Iterator[ImageResult]:
    found = [ranked.screener(batch.images) for ranked in screeners]
    methods = [ranked.method for ranked in screeners]
    # One transfer each, instead of one an image.
    predicted: list[int] = found[0].predicted.tolist()
    scores: list[list[float]] = [each.scores.tolist() for each in found]
    flags: list[list[bool]] = [each.flagged.tolist() for each in found]
    for index, path in enumerate(batch.paths):
        flagged_by = tuple(
            method for method, flagged in zip(methods, flags, strict=True) if flagged[index]
        )
        yield ImageResult(
            path=path,
            score=scores[0][index],
            flagged=bool(flagged_by),
            predicted_class=predicted[index],
            p_value=screeners[0].p_value(scores[0][index]),
            scores={method: own[index] for method, own in zip(methods, scores, strict=True)},
            flagged_by=flagged_by,
        )

"""What a screener says about single images, and how its threshold was found."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Screened:
    """What is known of a batch of images.

    Args:
        logits: (N, K) of the unchanged network.
        scores: (N,) float32; higher is more likely triggered.
        flagged: (N,) bool; whether the score is above the threshold.
    """

    logits: Tensor
    scores: Tensor
    flagged: Tensor

    @property
    def predicted(self) -> Tensor:
        """Class (N,) that the unchanged network predicts."""
        return self.logits.argmax(1)


@dataclass(frozen=True)
class Calibration:
    """A screener fitted to one network: all that is needed to screen images with it again.

    Args:
        method: name of the screener, such as ``ibd-psc``.
        settings: its fields, JSON-ready.
        fit: what it learned from clean images, JSON-ready.
        threshold: an image with a higher score is flagged.
        threshold_source: ``method`` if it is the paper's, ``false-flag-rate`` if it keeps
            mistakes to a rate that was asked for.
        false_flag_rate: the rate that was asked for, in (0, 1); None for the paper's threshold.
        clean_scores: of held-out clean images.
        clean_predicted: classes that the network predicts for them.
        notes: what a user must know, one sentence each.
    """

    method: str
    settings: Mapping[str, Any]
    fit: Mapping[str, Any]
    threshold: float
    threshold_source: str
    false_flag_rate: float | None
    clean_scores: tuple[float, ...]
    clean_predicted: tuple[int, ...]
    notes: tuple[str, ...] = ()


def conformal_threshold(clean_scores: Sequence[float], rate: float) -> float | None:
    """Threshold above which a new clean image scores with probability at most ``rate``.

    The ceil((n + 1)(1 - rate))-th smallest of n held-out clean scores (split conformal
    prediction); None where n is too small to promise that rate.
    """
    rank = conformal_rank(len(clean_scores), rate)
    return None if rank > len(clean_scores) else sorted(clean_scores)[rank - 1]


def conformal_rank(count: int, rate: float) -> int:
    """Which of ``count`` clean scores, in ascending order from 1, is the threshold for ``rate``."""
    return math.ceil((count + 1) * (1 - rate))


def images_needed(rate: float) -> int:
    """How many held-out clean images it takes to promise ``rate``."""
    return math.ceil(1 / rate) - 1

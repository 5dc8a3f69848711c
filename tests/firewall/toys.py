"""A screener whose scores are known, and the calibrations it gives."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Rule
from backaudit.core.screening import Calibration
from backaudit.core.suspect import Suspect
from backaudit.screeners.interface import Fit, Scored

SETTINGS = {"factor": 1.0, "parts": [1, 2], "threshold": None}


@dataclass(frozen=True)
class Bright:
    """Scores the first pixel's brightness, in [0, 1]."""

    rule: ClassVar[Rule] = Rule("BA299", "bright", "Is the first pixel bright?")

    factor: float = 1.0
    parts: tuple[int, ...] = (1, 2)
    threshold: float | None = None

    def fit(self, suspect: Suspect, clean: CleanSet) -> Fit:
        return {"images": len(clean), "notes": ["made of nothing"]}

    def scorer(self, network: nn.Module, fit: Fit, example: Tensor) -> "BrightScorer":
        return BrightScorer(network, self.factor)


@dataclass(frozen=True)
class BrightScorer:
    network: nn.Module
    factor: float
    how: str = "one pass"

    def __call__(self, images: Tensor) -> Scored:
        return Scored(self.network(images), self.factor * images[:, 0, 0, 0])


class Dark(Bright):
    """The same by another name."""

    rule: ClassVar[Rule] = Rule("BA298", "dark", "Is the first pixel dark?")


TOYS = {"bright": Bright, "dark": Dark}


def lit(levels: list[int], size: int = 12) -> Tensor:
    """Black images (N, 3, size, size) uint8 whose first pixel has these levels."""
    images = torch.zeros(len(levels), 3, size, size, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor(levels, dtype=torch.uint8)
    return images


def clean_of(levels: list[int]) -> CleanSet:
    """Each level twice, so that one of each is held out."""
    labels = torch.arange(len(levels)).repeat_interleave(2)
    images = lit([level for level in levels for _ in range(2)])
    return CleanSet(images, labels, True, "memory", "by index")


def calibration(
    threshold: float = 0.9,
    rate: float | None = None,
    scores: tuple[float, ...] = (0.1, 0.2, 0.95, 0.3),
    predicted: tuple[int, ...] = (0, 1, 1, 2),
    method: str = "bright",
) -> Calibration:
    source = "method" if rate is None else "false-flag-rate"
    return Calibration(method, SETTINGS, {}, threshold, source, rate, scores, predicted)

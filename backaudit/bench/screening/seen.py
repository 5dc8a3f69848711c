"""What a screener said of each image, in a form that tables are made of without running again."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backaudit.bench.trials.traffic import Shown
from backaudit.firewall.screen import ImageResult

DIGITS = 9
"""Significant ones, which keep a float32 as it is: scores crowd close to 1, and order matters."""


@dataclass(frozen=True)
class Seen:
    """Images that were screened.

    Args:
        scores: (N,) float64; negative infinity where the screener gave no number.
        flagged: (N,) bool.
        predicted: (N,) int64, class that the unchanged network predicts.
        labels: (N,) int64, what is on the images.
        wanted: (N,) int64, what should be predicted, see ``Shown``.
    """

    scores: Tensor
    flagged: Tensor
    predicted: Tensor
    labels: Tensor
    wanted: Tensor

    @staticmethod
    def of(results: Sequence[ImageResult], shown: Shown) -> "Seen":
        """What was said of the images shown."""
        scores = [each.score if math.isfinite(each.score) else -math.inf for each in results]
        return Seen(
            torch.tensor(scores, dtype=torch.float64),
            torch.tensor([each.flagged for each in results], dtype=torch.bool),
            torch.tensor([each.predicted_class for each in results], dtype=torch.long),
            shown.labels,
            shown.wanted,
        )

    @staticmethod
    def read(record: Mapping[str, str]) -> "Seen":
        """Read what ``record`` wrote."""
        numbers = [float(word) for word in record["scores"].split()]
        scores = torch.tensor(numbers, dtype=torch.float64)
        names = ("flagged", "predicted", "labels", "wanted")
        flagged, *classes = (_integers(record[name]) for name in names)
        return Seen(scores, flagged.bool(), *classes)

    def record(self) -> dict[str, str]:
        """Lay it out in JSON's types, a line of numbers each: thousands stay readable so."""
        return {
            "scores": " ".join(f"{score:.{DIGITS}g}" for score in self.scores.tolist()),
            "flagged": _line(self.flagged.int().tolist()),
            "predicted": _line(self.predicted.tolist()),
            "labels": _line(self.labels.tolist()),
            "wanted": _line(self.wanted.tolist()),
        }

    def as_wanted(self) -> "Seen":
        """Those of them that are predicted as wanted."""
        hit = self.predicted == self.wanted
        parts = (self.scores, self.flagged, self.predicted, self.labels, self.wanted)
        return Seen(*(part[hit] for part in parts))

    def __len__(self) -> int:
        """N."""
        return len(self.scores)


def _integers(line: str) -> Tensor:
    return torch.tensor([int(word) for word in line.split()], dtype=torch.long)


def _line(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))

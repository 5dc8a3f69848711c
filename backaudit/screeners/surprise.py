"""How rarely clean images score as high as an image does."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Scores that differ by less are taken as equal: of sums that rounding alone tells apart.
LEVEL = 1e-6


@dataclass(frozen=True)
class Surprise:
    """How rarely clean images score as high: -log10 of the conformal p-value, made continuous.

    At a clean image's own score, p = (1 + clean images that score as high) / (1 + clean images).

    Args:
        levels: (M,) float32 scores, ascending; the last lies above those of all clean images, and
            only says where the line beyond them goes.
        surprises: (M,) float32 of these scores, ascending.
    """

    levels: Tensor
    surprises: Tensor

    @classmethod
    def of(cls, scores: Sequence[float], device: torch.device) -> "Surprise":
        """Learn from scores of clean images, at least one.

        Beyond the highest, the line goes on as it came from the median (of two the lower); from the
        lowest where the median is no lower than the highest; or one up for one to the right.
        """
        given = torch.tensor(scores, dtype=torch.float64)
        levels, counts = given.unique(return_counts=True)
        as_high = counts.flip(0).cumsum(0).flip(0)
        surprises = ((1 + len(given)) / (1 + as_high)).log10()
        points = torch.stack([levels, surprises])
        step = torch.ones(2, dtype=torch.float64)
        for start in (int(torch.searchsorted(levels, given.median())), 0):
            rise = points[:, -1] - points[:, start]
            if float(rise[0]) > LEVEL * max(1.0, float(levels[-1].abs())):
                step = rise
                break
        points = torch.cat([points, (points[:, -1] + step)[:, None]], 1)
        return cls(*points.float().to(device))

    def __call__(self, scores: Tensor) -> Tensor:
        """Surprises (N,) float32, at least 0, of scores (N,); ascending above the lowest level."""
        scores = scores.float().contiguous()
        above = torch.searchsorted(self.levels, scores).clamp(1, len(self.levels) - 1)
        low, high = self.levels[above - 1], self.levels[above]
        gap = (high - low).clamp_min(torch.finfo(torch.float32).tiny)
        # Not clamped from above: the last line goes on.
        share = ((scores - low) / gap).clamp_min(0)
        start = self.surprises[above - 1]
        return start + share * (self.surprises[above] - start)

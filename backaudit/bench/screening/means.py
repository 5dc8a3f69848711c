"""Means over models, with the interval they could lie in."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backaudit.bench.tables.figures import Interval
from backaudit.core.rates import Z95

# 97.5 % quantiles of Student's t with 1, 2, ... degrees of freedom.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class Mean:
    """The mean of a figure in [0, 1] over models.

    Args:
        value: of the models' means; not a number without models.
        interval: 95 % interval.
        models: how many.
    """

    value: float
    interval: Interval
    models: int

    def record(self) -> dict[str, Any]:
        """Lay it out in JSON's types."""
        interval = self.interval if self.models else None
        return {"mean": self.value, "interval": interval, "models": self.models}


def mean_over(
    models: Mapping[str, Sequence[float]], of_images: Callable[[float], Interval]
) -> Mean:
    """The mean over models of the mean over each model's seeds.

    The interval is the wider of two, towards either side: what other images of one model would
    change, and what other models would (Student's t). Where all models agree by chance, it is not
    narrower than one model's own.

    Args:
        models: figures in [0, 1], one a seed, by the model's name.
        of_images: the interval of such a figure measured on one model's images.
    """
    means = [statistics.fmean(values) for values in models.values() if values]
    if not means:
        return Mean(math.nan, (0.0, 1.0), 0)
    value = statistics.fmean(means)
    low, high = of_images(value)
    half = _half(means)
    return Mean(
        value, (max(0.0, min(low, value - half)), min(1.0, max(high, value + half))), len(means)
    )


def _half(means: Sequence[float]) -> float:
    """Half of Student's interval; 0 for a single model, whose spread is not known."""
    if len(means) < 2:
        return 0.0
    return student(len(means) - 1) * statistics.stdev(means) / math.sqrt(len(means))


def student(freedom: int) -> float:
    """97.5 % quantile of Student's t; from 11 degrees of freedom on by its expansion around z."""
    if freedom <= len(STUDENT):
        return STUDENT[freedom - 1]
    first = (Z95**3 + Z95) / 4
    second = (5 * Z95**5 + 16 * Z95**3 + 3 * Z95) / 96
    third = (3 * Z95**7 + 19 * Z95**5 + 17 * Z95**3 - 15 * Z95) / 384
    return Z95 + first / freedom + second / freedom**2 + third / freedom**3

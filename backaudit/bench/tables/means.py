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
    """The mean of a figure over models.

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
    models: Mapping[str, Sequence[float]],
    of_images: Callable[[float], Interval],
    within: Interval = (0.0, 1.0),
) -> Mean:
    """The mean over models of the mean over each model's seeds.

    The interval is the wider of two, towards either side: what other images of one model would
    change, and what other models would (Student's t). Where all models agree by chance, it is not
    narrower than one model's own.

    Args:
        models: figures, one a seed, by the model's name.
        of_images: the interval of such a figure measured on one model's images.
        within: what such a figure can be.
    """
    means = [statistics.fmean(values) for values in models.values() if values]
    if not means:
        return Mean(math.nan, within, 0)
    value = statistics.fmean(means)
    low, high = of_images(value)
    half = _half(means)
    ends = max(within[0], min(low, value - half)), min(within[1], max(high, value + half))
    return Mean(value, ends, len(means))


def average_of(means: Mapping[str, Mean], within: Interval = (0.0, 1.0)) -> Mean:
    """The mean of means, of which each counts the same, as attacks do in the papers' tables.

    Args:
        means: by name; those without models are left out.
        within: what such a figure can be.
    """
    known = {name: [mean.value] for name, mean in means.items() if mean.models}
    return mean_over(known, lambda value: (value, value), within)


def percents(mean: Mean) -> str:
    """A rate in percent with its interval, as ``97.2 (95-99)``."""
    if not math.isfinite(mean.value):
        return "-"
    low, high = mean.interval
    return f"{100 * mean.value:.1f} ({100 * low:.0f}-{100 * high:.0f})"


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

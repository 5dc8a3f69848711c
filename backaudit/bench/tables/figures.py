"""Results of any method into figures: shares, times, intervals."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from backaudit.bench.trials.results import Record
from backaudit.core.rates import Z95, wilson

T = TypeVar("T")
Interval = tuple[float, float]

NOTHING = ("failed", "not-applicable")
"""Kinds of outcome of a trial that came to nothing."""


def score_of(result: Record, key: str = "score") -> float | None:
    """A number that a result holds; None if it holds none, as when the method did not apply.

    Args:
        result: of one trial.
        key: where it stands in the outcome, a step each slash:
            ``measurements/mask/by_budget/0.3/share``.
    """
    value: Any = result["outcome"]
    for step in key.split("/"):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def is_benign(result: Record) -> bool:
    """Whether the model has no backdoor."""
    return result["truth"]["attack"] is None


def is_all_to_all(result: Record) -> bool:
    """Whether the model has a backdoor without a single target class."""
    return not is_benign(result) and result["truth"]["target_class"] is None


@dataclass(frozen=True)
class Share:
    """How many results are of a kind.

    Args:
        hits: of that kind.
        of: results.
        models: distinct models among them. Seeds of one model are no independent trials, so the
            interval is that of a share measured on this many cases.
    """

    hits: int
    of: int
    models: int

    @property
    def rate(self) -> float:
        """The share; not a number if there are no results."""
        return self.hits / self.of if self.of else math.nan

    @property
    def interval(self) -> Interval:
        """95 % Wilson score interval."""
        return wilson(self.rate, self.models)

    def record(self) -> dict[str, Any]:
        """Lay it out in JSON's types."""
        interval = self.interval if self.of else None
        return {
            "hits": self.hits,
            "n": self.of,
            "models": self.models,
            "rate": self.rate,
            "interval": interval,
        }


def share(results: Sequence[Record], holds: Callable[[Record], bool]) -> Share:
    """The share of results for which ``holds``."""
    return Share(sum(map(holds, results)), len(results), count_models(results))


def by_model(
    results: Iterable[Record], measure: Callable[[Record], T | None]
) -> dict[str, list[T]]:
    """What is measured on the results of each model, one a seed.

    Args:
        results: of one method.
        measure: None for a result that is left out.
    """
    found: dict[str, list[T]] = {}
    for result in results:
        measured = measure(result)
        if measured is not None:
            found.setdefault(result["model"], []).append(measured)
    return found


def count_models(results: Iterable[Record]) -> int:
    """Distinct models."""
    return len({result["model"] for result in results})


def auroc_interval(value: float, negatives: int, positives: int) -> Interval:
    """95 % interval of an AUROC measured on so many independent cases, (0, 1) without any.

    The bounds are the areas that lie 1.96 of their own standard errors from ``value``, where the
    standard error is Hanley and McNeil's with (m + n) / 2 in the place of both sample sizes.
    Unlike an interval around ``value``, or a bootstrap, it has a width where all scores are apart.

    Paper: Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2, Statistics in Medicine 25, 2006, method 5.
    """
    if not (negatives and positives and math.isfinite(value)):
        return 0.0, 1.0

    def beyond(bound: float) -> bool:
        error = math.sqrt(_variance(bound, negatives, positives))
        return abs(value - bound) > Z95 * error

    return _last(value, 0.0, beyond), _last(value, 1.0, beyond)


def _variance(value: float, m: int, n: int) -> float:
    extra = (m + n) / 2 - 1
    spread = 1 + extra * ((1 - value) / (2 - value) + value / (1 + value))
    return value * (1 - value) * spread / (m * n)


def _last(inside: float, outside: float, beyond: Callable[[float], bool]) -> float:
    """Where, on the way from ``inside`` to ``outside``, ``beyond`` begins to hold."""
    if not beyond(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if beyond(middle) else (middle, outside)
    return inside


def median_seconds(results: Sequence[Record]) -> float:
    """Median time of the trials that came to something, without loading; not a number if none."""
    seconds = [r["seconds"] for r in results if r["outcome"]["kind"] not in NOTHING]
    return statistics.median(seconds) if seconds else math.nan

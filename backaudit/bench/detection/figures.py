"""What detectors say of models into figures: calls, ranks, areas under ROC curves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from backaudit.bench.tables.figures import (
    Interval,
    auroc_interval,
    count_models,
    is_benign,
    score_of,
)
from backaudit.bench.trials.results import Record
from backaudit.nets.metrics import auroc


def is_called(result: Record) -> bool:
    """Whether the method calls the model backdoored."""
    return bool(result["outcome"].get("fires", False))


def is_read(result: Record) -> bool:
    """Whether the method could have called the model either way; else it counts as not called."""
    return is_called(result) or bool(result["outcome"].get("decides", False))


def is_right(result: Record) -> bool:
    """Whether a backdoored model is called so, or a benign one was read and is not called."""
    return (is_read(result) and not is_called(result)) if is_benign(result) else is_called(result)


def names_target(result: Record) -> bool:
    """Whether the class suspected first is the one that the attack aims at."""
    first = result["outcome"].get("target_classes", [])[:1]
    return bool(first == [result["truth"]["target_class"]])


@dataclass(frozen=True)
class Area:
    """Area under the ROC curve.

    Args:
        value: chance that a backdoored model scores above a benign one; not a number without both.
        interval: 95 % interval, from the numbers of models.
        benign: distinct benign models.
        backdoored: distinct backdoored models.
    """

    value: float
    interval: Interval
    benign: int
    backdoored: int

    def record(self) -> dict[str, Any]:
        """Lay it out in JSON's types."""
        known = math.isfinite(self.value)
        return {
            "auroc": self.value,
            "interval": self.interval if known else None,
            "benign_models": self.benign,
            "backdoored_models": self.backdoored,
        }


def area(results: Sequence[Record], key: str = "score") -> Area:
    """AUROC of a number over results of one method.

    A result without the number has not called the model whatever the threshold: it ranks below all
    others.

    Args:
        results: of benign and of backdoored models.
        key: which number, see ``score_of``.
    """
    parts = [[r for r in results if is_benign(r) == benign] for benign in (True, False)]
    counts = [count_models(part) for part in parts]
    scores = [torch.tensor(ranked(part, key), dtype=torch.float64) for part in parts]
    value = auroc(*scores)
    return Area(value, auroc_interval(value, *counts), *counts)


def ranked(results: Sequence[Record], key: str = "score") -> list[float]:
    """Scores of results, negative infinity for those that have none."""
    scores = [score_of(result, key) for result in results]
    return [-math.inf if score is None else score for score in scores]


def f1(results: Sequence[Record]) -> float:
    """F1 of the calls at the shipped thresholds; not a number if there is nothing to call."""
    called = [result for result in results if is_called(result)]
    hits = sum(not is_benign(result) for result in called)
    backdoored = sum(not is_benign(result) for result in results)
    total = len(called) + backdoored
    return 2 * hits / total if total else math.nan

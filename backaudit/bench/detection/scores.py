"""How well each detector's score tells backdoored from benign models."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backaudit.bench.detection.figures import Area, area, f1, is_called
from backaudit.bench.tables.figures import (
    Share,
    count_models,
    is_all_to_all,
    is_benign,
    median_seconds,
    share,
)
from backaudit.bench.tables.layout import Columns, FigureTable
from backaudit.bench.tables.rows import NO_ATTACK, attack_of, hits_of, number, rate, seconds_text
from backaudit.bench.trials.results import Record
from backaudit.core.printable import counted

INTERVALS = (
    "Acc. and false alarms with a 95 % Wilson interval, AUROC with Newcombe's (method 5). An "
    "interval counts models: seeds of one model are no independent trials."
)


def scores_table(
    results: Sequence[Record], methods: Sequence[str]
) -> tuple[FigureTable, list[dict[str, Any]]]:
    """How well each method's score tells backdoored from benign models.

    Args:
        results: of the methods.
        methods: their names, in the order of the rows.

    Returns:
        The table, and the same as records.
    """
    attacks = sorted({attack_of(result) for result in results} - {NO_ATTACK})
    heads = ("all attacks", "one target class", *attacks)
    measured = {method: _Scores.of(results, method, attacks) for method in methods}
    labels = [f"AUROC, {head}" for head in heads]
    labels += ["F1 at the threshold", "false alarms", "  share %", "seconds (median)"]
    groups = tuple(
        Columns(method, ("",), tuple((cell,) for cell in measured[method].cells()))
        for method in methods
    )
    benign = [result for result in results if is_benign(result)]
    notes = (
        f"{counted(count_models(results), 'model')}, of them {count_models(benign)} benign, which "
        "every AUROC is taken against.",
        INTERVALS,
    )
    table = FigureTable("Scores and thresholds", "", tuple(labels), groups, notes)
    return table, [{"method": method} | measured[method].record() for method in methods]


@dataclass(frozen=True)
class _Scores:
    """The figures of one method over a zoo."""

    areas: dict[str, Area]
    f1: float
    false_alarms: Share
    seconds: float

    @staticmethod
    def of(results: Sequence[Record], method: str, attacks: Sequence[str]) -> "_Scores":
        own = [result for result in results if result["method"] == method]
        benign = [result for result in own if is_benign(result)]
        parts = {
            "all attacks": own,
            "one target class": [result for result in own if not is_all_to_all(result)],
        }
        for attack in attacks:
            parts[attack] = [*benign, *(result for result in own if attack_of(result) == attack)]
        areas = {name: area(part) for name, part in parts.items()}
        return _Scores(areas, f1(own), share(benign, is_called), median_seconds(own))

    def cells(self) -> Iterator[str]:
        yield from map(area_text, self.areas.values())
        yield number(self.f1)
        yield hits_of(self.false_alarms)
        yield rate(self.false_alarms)
        yield seconds_text(self.seconds)

    def record(self) -> dict[str, Any]:
        return {
            "auroc": {name: found.record() for name, found in self.areas.items()},
            "f1": self.f1,
            "false_alarms": self.false_alarms.record(),
            "median_seconds": self.seconds,
        }


def area_text(found: Area) -> str:
    """An AUROC with its interval and the number of backdoored models."""
    if not math.isfinite(found.value):
        return "-"
    low, high = found.interval
    return f"{found.value:.3f} ({low:.2f}-{high:.2f}) n={found.backdoored}"

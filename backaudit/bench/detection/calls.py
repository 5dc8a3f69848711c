"""Which models each detector calls backdoored, in the form of BAN's Table 1."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from backaudit.bench.detection.figures import is_called, is_read, is_right, names_target
from backaudit.bench.tables.captions import reasons
from backaudit.bench.tables.figures import Share, is_all_to_all, is_benign, share
from backaudit.bench.tables.layout import Columns, FigureTable
from backaudit.bench.tables.rows import (
    ALL,
    NO_ATTACK,
    Cells,
    Row,
    hits_of,
    percent,
    rate,
    rows_of,
    sectioned,
)
from backaudit.bench.trials.results import Record
from backaudit.core.verdict import Verdict


def calls_table(
    results: Sequence[Record], methods: Sequence[str]
) -> tuple[FigureTable, list[dict[str, Any]]]:
    """Which models each method calls backdoored, in the form of BAN's Table 1.

    Args:
        results: of the methods.
        methods: their names, in the order of the columns.

    Returns:
        The table, and the same as records.
    """
    rows = rows_of(results)
    lines: list[tuple[str, str, Cells]] = []
    records: list[dict[str, Any]] = []
    for row in rows:
        calls = {method: _Calls.of(row.results.get(method, [])) for method in methods}
        lines.append((row.network, row.attack, {m: calls[m].cells() for m in methods}))
        found = {method: calls[method].record() for method in methods}
        records.append({"network": row.network, "attack": row.attack, "methods": found})
    for network, label, part in _averaged(rows):
        values = {method: _average(part, method) for method in methods}
        cells: Cells = {method: ("", percent(values[method]), "") for method in methods}
        lines.append((network, label, cells))
        records.append({"network": network, "attack": label, "average_accuracy": values})
    labels, kept = sectioned(lines)
    heads = ("Bd.", "Acc. %", "target")
    groups = tuple(
        Columns(method, heads, tuple(cells.get(method, ()) for cells in kept)) for method in methods
    )
    notes = (
        "Bd.: results called backdoored, of how many. Acc.: share called rightly. target: of the "
        "calls on backdoored models, those that suspect the right class first.",
        *_unread(results, methods),
    )
    return FigureTable("Calls at the shipped thresholds", "model", labels, groups, notes), records


@dataclass(frozen=True)
class _Calls:
    """What one method says of the models of a row."""

    called: Share
    right: Share
    target: Share | None
    unread: int

    @staticmethod
    def of(results: Sequence[Record]) -> "_Calls":
        hits = [result for result in results if is_called(result)]
        aimed = bool(results) and not any(is_benign(r) or is_all_to_all(r) for r in results)
        return _Calls(
            share(results, is_called),
            share(results, is_right),
            share(hits, names_target) if aimed else None,
            sum(not is_read(result) for result in results),
        )

    def cells(self) -> tuple[str, ...]:
        if not self.called.of:
            return "-", "-", "-"
        return hits_of(self.called), rate(self.right), hits_of(self.target)

    def record(self) -> dict[str, Any]:
        return {
            "called": self.called.record(),
            "right": self.right.record(),
            "target": self.target and self.target.record(),
            "not_read": self.unread,
        }


def _averaged(rows: Sequence[Row]) -> Iterator[tuple[str, str, list[Row]]]:
    """Which rows to average: the attacks of each network, of all, and all with no attack."""
    single = [row for row in rows if row.network != ALL]
    networks = list(dict.fromkeys(row.network for row in single))
    for network in networks:
        part = [row for row in single if row.network == network and row.attack != NO_ATTACK]
        if len(part) > 1:
            yield network, "average of the attacks", part
    last = ALL if len(networks) > 1 else "".join(networks)
    attacks = [row for row in single if row.attack != NO_ATTACK]
    if len(networks) > 1 and attacks:
        yield last, "average of the attacks", attacks
    if attacks and len(single) > len(attacks):
        yield last, "average of all rows", single


def _average(rows: Sequence[Row], method: str) -> float:
    """Mean of the rows' accuracies: every row counts the same, as in the paper's table."""
    rates = [share(row.results[method], is_right).rate for row in rows if method in row.results]
    return mean(rates) if rates else math.nan


def _unread(results: Sequence[Record], methods: Sequence[str]) -> Iterator[str]:
    unread = [each for each in results if each["method"] in methods and not is_read(each)]
    otherwise = "it gave no reading that could be held against a threshold"
    return reasons(unread, "Not read, so not called", otherwise)


def verdicts_table(results: Sequence[Record]) -> tuple[FigureTable, list[dict[str, Any]]]:
    """How often a whole scan ends with each verdict.

    Args:
        results: of the whole scan.

    Returns:
        The table, and the same as records.
    """
    lines: list[tuple[str, str, Cells]] = []
    records = []
    for row in rows_of(results):
        own = [result for results in row.results.values() for result in results]
        counts = Counter(result["outcome"]["verdict"] for result in own)
        cells = tuple(str(counts[verdict.value]) for verdict in Verdict)
        lines.append((row.network, row.attack, {"": (*cells, str(len(own)))}))
        named = {verdict.value: counts[verdict.value] for verdict in Verdict}
        records.append({"network": row.network, "attack": row.attack, "n": len(own), **named})
    labels, kept = sectioned(lines)
    heads = (*(verdict.value for verdict in Verdict), "n")
    group = Columns("", heads, tuple(cells.get("", ()) for cells in kept))
    return FigureTable("Verdicts of the whole scan", "model", labels, (group,)), records

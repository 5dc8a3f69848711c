"""What purifying costs: accuracy of backdoored and of benign models, and time."""

from collections.abc import Sequence
from typing import Any

from backaudit.bench.purification.figures import Figures, is_purified
from backaudit.bench.tables.captions import machines_text
from backaudit.bench.tables.figures import is_benign, median_seconds
from backaudit.bench.tables.layout import Columns, FigureTable
from backaudit.bench.tables.means import Mean, percents
from backaudit.bench.tables.rows import ALL, Cells, network_of, seconds_text, sectioned
from backaudit.bench.trials.results import Record

BACKDOORED, BENIGN, TIME = "backdoored models", "benign models", ""
HEADS = {
    BACKDOORED: ("ACC drop", "worst", "robust %", "n"),
    BENIGN: ("ACC drop", "worst", "n"),
    TIME: ("seconds", "results"),
}
NOTE = (
    "ACC drop: percentage points of clean accuracy that are lost, as a mean over models, all of "
    "which count the same, with a 95 % interval (Agresti and Min, or Student's t); worst: of all "
    "results. robust: share of triggered images that are predicted as what they show. seconds: "
    "median, without loading and measuring; of auto, with its scans. results: that came to a "
    "network, of how many."
)


def costs_table(
    results: Sequence[Record], methods: Sequence[str]
) -> tuple[FigureTable, list[dict[str, Any]]]:
    """Loss of accuracy and time by network and method.

    Args:
        results: of the methods.
        methods: their names, in the order of the rows.

    Returns:
        The table, and the same as records.
    """
    networks = sorted({network_of(result) for result in results})
    lines: list[tuple[str, str, Cells]] = []
    records = []
    for network in [*networks, *([ALL] if len(networks) > 1 else [])]:
        for method in methods:
            own = [
                result
                for result in results
                if result["method"] == method and network in (ALL, network_of(result))
            ]
            cells, found = _costs(own)
            lines.append((network, method, cells))
            records.append({"network": network, "method": method} | found)
    labels, kept = sectioned(lines)
    groups = tuple(
        Columns(name, heads, tuple(cells.get(name, ()) for cells in kept))
        for name, heads in HEADS.items()
    )
    notes = (NOTE, f"On {machines_text(filter(is_purified, results))}.")
    return FigureTable("What purifying costs", "method", labels, groups, notes), records


def _costs(results: Sequence[Record]) -> tuple[Cells, dict[str, Any]]:
    of = {kind: [r for r in results if is_benign(r) == (kind == BENIGN)] for kind in HEADS if kind}
    figures = {kind: Figures.of(part) for kind, part in of.items()}
    attacked, benign = figures[BACKDOORED], figures[BENIGN]
    purified, seconds = sum(map(is_purified, results)), median_seconds(results)
    robust = attacked.means["robust_accuracy"]
    cells = {
        BACKDOORED: (*_drops(attacked), percents(robust), str(attacked.models)),
        BENIGN: (*_drops(benign), str(benign.models)),
        TIME: (seconds_text(seconds), f"{purified}/{len(results)}"),
    }
    record = {
        "backdoored": {"robust_accuracy": robust.record()} | _drop_record(attacked),
        "benign": _drop_record(benign),
        "median_seconds": seconds,
        "purified": purified,
        "results": len(results),
    }
    return cells, record


def _drops(figures: Figures) -> tuple[str, str]:
    worst = _worst(figures)
    return points(figures.means["accuracy_drop"]), "-" if worst is None else f"{100 * worst:.1f}"


def _worst(figures: Figures) -> float | None:
    return max((each.values["accuracy_drop"] for each in figures.every), default=None)


def _drop_record(figures: Figures) -> dict[str, Any]:
    drop = figures.means["accuracy_drop"].record()
    return {"accuracy_drop": drop, "largest_accuracy_drop": _worst(figures)}


def points(mean: Mean) -> str:
    """A difference of shares in percentage points with its interval, as ``0.8 (-0.1 to 1.7)``."""
    if not mean.models:
        return "-"
    low, high = mean.interval
    return f"{100 * mean.value:.1f} ({100 * low:.1f} to {100 * high:.1f})"

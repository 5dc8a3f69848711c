"""How well each screener tells triggered from clean images, in the form of IBD-PSC's Table 1."""

import math
from collections.abc import Iterator, Sequence

from backaudit.bench.screening.attacked import Attacked, average, networks_of
from backaudit.bench.screening.figures import FIGURES
from backaudit.bench.tables.captions import intervals_text, range_text
from backaudit.bench.tables.layout import Columns, FigureTable
from backaudit.bench.tables.means import Mean, percents
from backaudit.bench.tables.rows import Cells, sectioned

HEADS = ("AUROC", "F1", "TPR %", "FPR %", "n")
NOTHING = ("-",) * len(HEADS)
INTERVALS = intervals_text("AUROC: Newcombe's method 5; rates: Wilson; F1: from both rates")


def scores_table(
    rows: Sequence[Attacked], methods: Sequence[str], *, only_successful: bool = False
) -> FigureTable:
    """AUROC, F1, TPR and FPR by attack, and their mean over the attacks with one target class.

    Args:
        rows: from ``attacked``.
        methods: names of the screeners, in the order of the columns.
        only_successful: as given to ``attacked``.
    """
    lines = [line for network, own in networks_of(rows) for line in _lines(network, own, methods)]
    labels, kept = sectioned(lines)
    groups = tuple(
        Columns(method, HEADS, tuple(cells.get(method, ()) for cells in kept)) for method in methods
    )
    notes = (_counted(rows, only_successful), f"n: models. {INTERVALS}")
    return FigureTable("Triggered images told from clean ones", "model", labels, groups, notes)


def _lines(
    network: str, rows: Sequence[Attacked], methods: Sequence[str]
) -> Iterator[tuple[str, str, Cells]]:
    averaged = [row for row in rows if row.averaged]
    for row in averaged:
        yield network, row.attack, {method: _cells(row, method) for method in methods}
    if len(averaged) > 1:
        yield network, "average of these", {m: _average_cells(averaged, m) for m in methods}
    for row in rows:
        if not row.averaged:
            yield network, row.attack, {method: _cells(row, method) for method in methods}


def _cells(row: Attacked, method: str) -> tuple[str, ...]:
    figures = row.figures[method]
    return (*_texts(figures.means), str(figures.models)) if figures.models else NOTHING


def _average_cells(rows: Sequence[Attacked], method: str) -> tuple[str, ...]:
    models = sum(row.figures[method].models for row in rows)
    return (*_texts(average(rows, method)), str(models)) if models else NOTHING


def _texts(means: dict[str, Mean]) -> Iterator[str]:
    for name in FIGURES:
        yield (share if name in ("auroc", "f1") else percents)(means[name])


def share(mean: Mean) -> str:
    """A figure with its interval, as ``0.983 (0.97-0.99)``."""
    if not math.isfinite(mean.value):
        return "-"
    return f"{mean.value:.3f} ({mean.interval[0]:.2f}-{mean.interval[1]:.2f})"


def _counted(rows: Sequence[Attacked], only_successful: bool) -> str:
    every = [figures for row in rows for figures in row.figures.values() if figures.models]
    clean, triggered = (
        range_text(getattr(figures, kind) for figures in every) for kind in ("clean", "triggered")
    )
    which = (
        "that are predicted as labelled, and triggered ones that go where the attacker wants, only"
        if only_successful
        else "and triggered ones, whatever the network predicts for them"
    )
    return f"Clean images {which}: {clean} and {triggered} a model."

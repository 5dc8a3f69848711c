"""What is left of each attack, in the form of TSBD's Table 1 and BAN's Tables 3 and 5."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backaudit.bench.purification.figures import Figures, average, untouched
from backaudit.bench.tables.captions import intervals_text
from backaudit.bench.tables.figures import is_all_to_all
from backaudit.bench.tables.layout import Columns, FigureTable
from backaudit.bench.tables.means import Mean, percents
from backaudit.bench.tables.rows import NO_ATTACK, Cells, Row, rows_of, sectioned
from backaudit.bench.trials.results import Record

NO_DEFENCE = "no defence"
ACC, ASR, DER = "accuracy", "attack_success_rate", "der"
HEADS = {ACC: "ACC %", ASR: "ASR %", DER: "DER %"}
NOTE = (
    "ACC: clean accuracy, to be high. ASR: share of triggered images of other classes that go "
    "where the attacker wants, to be low. DER: defence effectiveness, [max(0, drop of ASR) - "
    "max(0, drop of ACC) + 1] / 2, to be high; 50 if nothing changed. n: models. An average counts "
    "every attack the same; all-to-all attacks, which have no single target, have their own."
)
INTERVALS = intervals_text("ACC, ASR: Wilson; DER: from both")


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Args:
        network: data set, architecture and width, or all of them.
        label: the attack's name, or of which attacks it is the average.
        means: by method, ``NO_DEFENCE`` among them, those of ``FIGURES``.
        models: by method, how many.
        records: by method, the same in JSON's types.
    """

    network: str
    label: str
    means: Mapping[str, Mapping[str, Mean]]
    models: Mapping[str, int]
    records: Mapping[str, Mapping[str, Any]]


def effects_table(
    results: Sequence[Record], methods: Sequence[str]
) -> tuple[FigureTable, list[dict[str, Any]]]:
    """Accuracy, attack success and defence effectiveness by attack and method.

    Args:
        results: of the methods.
        methods: their names, in the order of the columns.

    Returns:
        The table, and the same as records.
    """
    lines = list(_lines(rows_of(results), (NO_DEFENCE, *methods)))
    labels, kept = sectioned([(line.network, line.label, _cells(line)) for line in lines])
    groups = tuple(
        Columns(
            method,
            (*(HEADS[name] for name in _shown(method)), "n"),
            tuple(cells.get(method, ()) for cells in kept),
        )
        for method in (NO_DEFENCE, *methods)
    )
    title = "What is left of the attacks"
    records = [
        {"network": line.network, "attack": line.label, "methods": line.records} for line in lines
    ]
    return FigureTable(title, "model", labels, groups, (NOTE, INTERVALS)), records


def _lines(rows: Sequence[Row], methods: Sequence[str]) -> Iterator[Line]:
    """Rows by network: attacks with a target, then all-to-all, each with an average, then none."""
    for network in dict.fromkeys(row.network for row in rows):
        own = [row for row in rows if row.network == network]
        attacks = [row for row in own if row.attack != NO_ATTACK]
        for all_to_all in (False, True):
            part = [row for row in attacks if _is_all_to_all(row) == all_to_all]
            figures = {row.attack: _figures(row, methods) for row in part}
            for attack, by_method in figures.items():
                yield _line(network, attack, by_method)
            if len(part) > 1:
                yield _average(network, figures, methods)
        for row in own:
            if row.attack == NO_ATTACK:
                yield _line(network, NO_ATTACK, _figures(row, methods))


def _is_all_to_all(row: Row) -> bool:
    return any(is_all_to_all(result) for results in row.results.values() for result in results)


def _figures(row: Row, methods: Sequence[str]) -> dict[str, Figures]:
    every = [result for results in row.results.values() for result in results]
    return {
        method: untouched(every)
        if method == NO_DEFENCE
        else Figures.of(row.results.get(method, ()))
        for method in methods
    }


def _line(network: str, attack: str, figures: Mapping[str, Figures]) -> Line:
    return Line(
        network,
        attack,
        {method: each.means for method, each in figures.items()},
        {method: each.models for method, each in figures.items()},
        {method: each.record() for method, each in figures.items()},
    )


def _average(
    network: str, figures: Mapping[str, Mapping[str, Figures]], methods: Sequence[str]
) -> Line:
    by_method = {
        method: {attack: each[method] for attack, each in figures.items()} for method in methods
    }
    means = {method: average(each) for method, each in by_method.items()}
    return Line(
        network,
        "average of these",
        means,
        {method: sum(f.models for f in each.values()) for method, each in by_method.items()},
        {m: {name: mean.record() for name, mean in means[m].items()} for m in methods},
    )


def _shown(method: str) -> tuple[str, ...]:
    """What was never defended has no rating."""
    return (ACC, ASR) if method == NO_DEFENCE else (ACC, ASR, DER)


def _cells(line: Line) -> Cells:
    return {
        method: (*(percents(means[name]) for name in _shown(method)), str(line.models[method]))
        for method, means in line.means.items()
    }

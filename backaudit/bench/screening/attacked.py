"""The figures of screeners by network and attack, the weakest first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backaudit.bench.screening.figures import FIGURES, Figures, rank
from backaudit.bench.tables.figures import is_all_to_all
from backaudit.bench.tables.means import Mean, average_of
from backaudit.bench.tables.rows import NO_ATTACK, Row, rows_of
from backaudit.bench.trials.results import Record


@dataclass(frozen=True)
class Attacked:
    """What the screeners say of images for the models of one network under one attack.

    Args:
        network: data set, architecture and width, or all of them.
        attack: the attack's name.
        averaged: whether it has one target class, and so is one of those that are averaged.
        figures: by the screener's name.
    """

    network: str
    attack: str
    averaged: bool
    figures: dict[str, Figures]


def attacked(
    results: Sequence[Record], methods: Sequence[str], *, only_successful: bool = False
) -> list[Attacked]:
    """The attacks on each network: those that are averaged first, of each kind the weakest first.

    Args:
        results: of the screeners.
        methods: their names; the first one's area under the curve decides which is weaker.
        only_successful: see ``seen``.
    """
    rows = [row for row in rows_of(results) if row.attack != NO_ATTACK]
    networks = list(dict.fromkeys(row.network for row in rows))
    found = [_attacked(row, methods, only_successful) for row in rows]
    return sorted(found, key=lambda each: _order(each, networks, methods[0]))


def _attacked(row: Row, methods: Sequence[str], only_successful: bool) -> Attacked:
    figures = {
        method: Figures.of(row.results.get(method, []), only_successful=only_successful)
        for method in methods
    }
    every = (result for results in row.results.values() for result in results)
    return Attacked(row.network, row.attack, not any(map(is_all_to_all, every)), figures)


def _order(each: Attacked, networks: Sequence[str], method: str) -> tuple[Any, ...]:
    return networks.index(each.network), not each.averaged, rank(each.figures[method])


def average(rows: Sequence[Attacked], method: str) -> dict[str, Mean]:
    """The mean of each figure over rows: each attack counts the same, as in the paper's table."""
    return {
        name: average_of({row.attack: row.figures[method].means[name] for row in rows})
        for name in FIGURES
    }


def networks_of(rows: Sequence[Attacked]) -> Iterator[tuple[str, list[Attacked]]]:
    """Each network with its rows."""
    for network in dict.fromkeys(row.network for row in rows):
        yield network, [row for row in rows if row.network == network]


def records(rows: Sequence[Attacked], methods: Sequence[str]) -> list[dict[str, Any]]:
    """Rows and averages in JSON's types."""
    found: list[dict[str, Any]] = []
    for network, own in networks_of(rows):
        for row in own:
            figures = {method: row.figures[method].record() for method in methods}
            found.append({"network": network, "attack": row.attack, "methods": figures})
        means = {
            method: average([row for row in own if row.averaged], method) for method in methods
        }
        averages = {
            method: {name: mean.record() for name, mean in means[method].items()}
            for method in methods
        }
        found.append({"network": network, "attack": "average", "methods": averages})
    return found

"""The rows that tables of results share, and how their figures are written."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from backaudit.bench.tables.figures import Share, is_all_to_all, is_benign
from backaudit.bench.trials.results import Record

NO_ATTACK = "no attack"
ALL = "all networks"


@dataclass(frozen=True)
class Row:
    """What the methods say of the models of one network under one attack.

    Args:
        network: data set, architecture and width.
        attack: the attack's name, or ``NO_ATTACK``.
        results: by the method's name.
    """

    network: str
    attack: str
    results: dict[str, list[Record]]


def network_of(result: Record) -> str:
    """Data set, architecture and options in one short name."""
    truth = result["truth"]
    options = "".join(f" {key[0]}{value}" for key, value in truth["options"].items())
    return f"{truth['dataset']} {truth['architecture']}{options}"


def attack_of(result: Record) -> str:
    """The attack's name, with ``all-to-all`` if it has no single target class."""
    if is_benign(result):
        return NO_ATTACK
    name = str(result["truth"]["attack"])
    return f"{name} all-to-all" if is_all_to_all(result) else name


def rows_of(results: Sequence[Record]) -> list[Row]:
    """Results by network and attack, benign models first; last all networks, if there are more."""
    networks = sorted({network_of(result) for result in results})
    rows = [row for name in networks for row in _rows(name, results, _on(name))]
    if len(networks) > 1:
        rows += _rows(ALL, results, lambda _: True)
    return rows


def _on(network: str) -> Callable[[Record], bool]:
    return lambda result: network_of(result) == network


def _rows(name: str, results: Sequence[Record], belongs: Callable[[Record], bool]) -> Iterator[Row]:
    own = [result for result in results if belongs(result)]
    for attack in sorted({attack_of(r) for r in own}, key=lambda name: (name != NO_ATTACK, name)):
        by_method: dict[str, list[Record]] = {}
        for result in own:
            if attack_of(result) == attack:
                by_method.setdefault(result["method"], []).append(result)
        yield Row(name, attack, by_method)


Cells = dict[str, tuple[str, ...]]


def sectioned(lines: Sequence[tuple[str, str, Cells]]) -> tuple[tuple[str, ...], list[Cells]]:
    """Lines of (network, label, cells) below one heading a network."""
    labels: list[str] = []
    kept: list[Cells] = []
    for network in dict.fromkeys(network for network, _, _ in lines):
        labels.append(network)
        kept.append({})
        for other, label, cells in lines:
            if other == network:
                labels.append(f"  {label}")
                kept.append(cells)
    return tuple(labels), kept


def hits_of(share: Share | None) -> str:
    """Hits of how many, as ``3/4``; "" if there is nothing to count."""
    return f"{share.hits}/{share.of}" if share else ""


def rate(share: Share) -> str:
    """A share in percent with its interval, as ``75 (30-95)``."""
    if not share.of:
        return "-"
    low, high = share.interval
    return f"{100 * share.rate:.0f} ({100 * low:.0f}-{100 * high:.0f})"


def percent(value: float) -> str:
    """A rate in percent, with one digit more."""
    return f"{100 * value:.1f}" if math.isfinite(value) else "-"


def number(value: float) -> str:
    """A figure with two digits."""
    return f"{value:.2f}" if math.isfinite(value) else "-"


def seconds_text(value: float) -> str:
    """A time in seconds."""
    return f"{value:.1f}" if math.isfinite(value) else "-"

"""What each screener costs, beside the network that it screens for."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backaudit.bench.screening.figures import is_screened
from backaudit.bench.screening.timing import LATENCY, THROUGHPUT
from backaudit.bench.tables.captions import machines_text
from backaudit.bench.tables.layout import Columns, FigureTable
from backaudit.bench.tables.rows import network_of
from backaudit.bench.trials.results import Record

PLAIN = "network alone"
BATCHES = (THROUGHPUT, LATENCY)
NOTE = (
    f"Medians, of {THROUGHPUT} images at a time and of {LATENCY}; both took turns on the same "
    "images. passes: time with the screener, which gives the network's answer too, in forward "
    "passes of the network alone. calibrating: seconds, once a model."
)
Medians = dict[str, float]


def costs_table(
    results: Sequence[Record], methods: Sequence[str]
) -> tuple[FigureTable, list[dict[str, Any]]]:
    """Time per image by network.

    Args:
        results: of the screeners.
        methods: their names, in the order of the columns.

    Returns:
        The table, and the same as records.
    """
    screened = [result for result in results if is_screened(result)]
    networks = sorted({network_of(result) for result in screened})
    found = {
        name: _by_method([each for each in screened if network_of(each) == name], methods)
        for name in networks
    }
    plain = Columns(
        PLAIN,
        tuple(f"ms at {batch}" for batch in BATCHES),
        tuple(_plain_cells(found[name]) for name in networks),
    )
    heads = tuple(f"{what} at {batch}" for batch in BATCHES for what in ("passes", "ms"))
    groups = tuple(
        Columns(
            method,
            (*heads, "calibrating"),
            tuple(_cells(found[name].get(method)) for name in networks),
        )
        for method in methods
    )
    notes = (NOTE, f"On {machines_text(screened)}.")
    table = FigureTable("Time per image", "model", tuple(networks), (plain, *groups), notes)
    records = [{"network": name, "methods": found[name]} for name in networks]
    return table, records


def _by_method(results: Sequence[Record], methods: Sequence[str]) -> dict[str, Medians]:
    found = {}
    for method in methods:
        outcomes = [result["outcome"] for result in results if result["method"] == method]
        if outcomes:
            found[method] = dict(_medians(outcomes))
    return found


def _medians(outcomes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    for batch in BATCHES:
        costs = [cost for each in outcomes for cost in each["costs"] if cost["batch"] == batch]
        for what in ("passes", "plain", "screened"):
            yield f"{what} at {batch}", statistics.median(cost[what] for cost in costs)
    yield "calibrating", statistics.median(each["calibrating_seconds"] for each in outcomes)


def _plain_cells(by_method: Mapping[str, Medians]) -> tuple[str, ...]:
    names = [f"plain at {batch}" for batch in BATCHES]
    medians = [statistics.median(each[name] for each in by_method.values()) for name in names]
    return tuple(map(_milliseconds, medians))


def _cells(medians: Medians | None) -> tuple[str, ...]:
    if medians is None:
        return ("-",) * (2 * len(BATCHES) + 1)
    cells = []
    for batch in BATCHES:
        cells.append(f"{medians[f'passes at {batch}']:.2f}")
        cells.append(_milliseconds(medians[f"screened at {batch}"]))
    return (*cells, f"{medians['calibrating']:.1f}")


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.2f}"

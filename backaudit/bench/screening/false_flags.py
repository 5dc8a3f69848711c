"""How many new clean images of benign models are flagged, against what was promised."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backaudit.bench.screening.figures import is_screened
from backaudit.bench.tables.figures import by_model, is_benign
from backaudit.bench.tables.layout import Columns, FigureTable
from backaudit.bench.tables.means import Mean, mean_over, percents
from backaudit.bench.tables.rows import rows_of
from backaudit.bench.trials.results import Record
from backaudit.core.rates import wilson

HEADS = ("flagged", "rate %", "expected %", "kept")
UNLIKELY = 0.025
"""Probability below which chance does not explain flags: one side of what 95 % intervals leave."""
NOTE = (
    "New clean images of models without a backdoor. expected: at a false-flag rate, what conformal "
    "prediction promises (with the interval that the number of held-out images leaves to one "
    "model); at a method's own threshold, what it flags of the held-out images. kept: results in "
    "which chance explains as many flags (p at least 0.025, the test of `backaudit screen` for "
    "images of the calibration's mix of classes)."
)


@dataclass(frozen=True)
class FalseFlags:
    """Flags of one screener on clean images of benign models.

    Args:
        flagged: images.
        of: images.
        rate: the share, as a mean over models.
        expected: the share that was to be expected, and its interval; means over results.
        kept: results whose flags chance explains.
        results: how many.
    """

    flagged: int
    of: int
    rate: Mean
    expected: Mean
    kept: int
    results: int

    @staticmethod
    def of_results(results: Sequence[Record]) -> "FalseFlags | None":
        """Count flags; None if there is no result to count."""
        screened = [result for result in results if is_screened(result)]
        tests = [result["outcome"]["false_flags"] for result in screened]
        if not tests:
            return None
        rates = by_model(screened, _rate)
        fewest = min(test["images"] for test in tests)
        low, high = (statistics.fmean(test["interval"][end] for test in tests) for end in (0, 1))
        return FalseFlags(
            flagged=sum(test["flagged"] for test in tests),
            of=sum(test["images"] for test in tests),
            rate=mean_over(rates, lambda value: wilson(value, fewest)),
            expected=Mean(statistics.fmean(t["rate"] for t in tests), (low, high), len(rates)),
            kept=sum(map(_explained, tests)),
            results=len(tests),
        )

    def cells(self) -> tuple[str, ...]:
        """As the table shows them."""
        counts = f"{self.flagged}/{self.of}", f"{self.kept}/{self.results}"
        return counts[0], percents(self.rate), percents(self.expected), counts[1]

    def record(self) -> dict[str, Any]:
        """Lay it out in JSON's types."""
        return {
            "flagged": self.flagged,
            "images": self.of,
            "rate": self.rate.record(),
            "expected": self.expected.record(),
            "kept": self.kept,
            "results": self.results,
        }


def _explained(test: Mapping[str, Any]) -> bool:
    # The images are drawn as the held-out ones were: what is promised for such is tested. In
    # older results it is the only p-value.
    chance: float = test.get("mix_p_value", test["p_value"])
    return chance >= UNLIKELY


def _rate(result: Record) -> float:
    test = result["outcome"]["false_flags"]
    rate: float = test["flagged"] / test["images"]
    return rate


def false_flags_table(
    results: Sequence[Record], methods: Sequence[str]
) -> tuple[FigureTable | None, list[dict[str, Any]]]:
    """Flags on clean images of benign models by network.

    Args:
        results: of the screeners.
        methods: their names, in the order of the columns.

    Returns:
        The table, None without a benign model; and the same as records.
    """
    rows = rows_of([result for result in results if is_benign(result)])
    counted = [
        {method: FalseFlags.of_results(row.results.get(method, [])) for method in methods}
        for row in rows
    ]
    records = [
        {"network": row.network, "methods": dict(_records(flags))}
        for row, flags in zip(rows, counted, strict=True)
    ]
    if not rows:
        return None, records
    groups = tuple(
        Columns(method, HEADS, tuple(_cells(flags[method]) for flags in counted))
        for method in methods
    )
    labels = tuple(row.network for row in rows)
    title = "Clean images of benign models that are flagged"
    return FigureTable(title, "model", labels, groups, (NOTE,)), records


def _cells(flags: FalseFlags | None) -> tuple[str, ...]:
    return flags.cells() if flags else ("-",) * len(HEADS)


def _records(flags: dict[str, FalseFlags | None]) -> Iterator[tuple[str, Any]]:
    for method, each in flags.items():
        yield method, each and each.record()

"""Everything that is said about the results of a benchmark of detectors.

For a figure that no table holds, from a folder of results::

    from backaudit.bench.detection.figures import area
    from backaudit.bench.trials.results import read_results

    results = [r for r in read_results(Path("results")) if r["method"] == "ban"]
    area(results, "measurements/mask/gain/0.3").value
"""

from collections.abc import Sequence
from typing import Any

from backaudit.bench.detection.calls import calls_table, verdicts_table
from backaudit.bench.detection.curves import curves_picture
from backaudit.bench.detection.scores import scores_table
from backaudit.bench.detection.trials import SCAN
from backaudit.bench.tables.summary import Summary
from backaudit.bench.trials.results import Record
from backaudit.bench.trials.selection import LeftOut


def summarise(
    results: Sequence[Record],
    methods: Sequence[str],
    left_out: Sequence[LeftOut],
    conditions: dict[str, Any],
) -> Summary:
    """Make the tables.

    Args:
        results: of the methods, and of the whole scan if it was made.
        methods: names of the detectors, in the order of the columns.
        left_out: models that the benchmark is made without.
        conditions: under which all results were made, for the record.
    """
    own = [result for result in results if result["method"] in methods]
    calls, call_records = calls_table(own, methods)
    scores, score_records = scores_table(own, methods)
    tables = [calls, scores]
    whole = [result for result in results if result["method"] == SCAN]
    verdict_records: list[dict[str, Any]] = []
    if whole:
        verdicts, verdict_records = verdicts_table(whole)
        tables.insert(1, verdicts)
    figures = {"calls": call_records, "verdicts": verdict_records, "scores": score_records}
    pictures = {"roc": curves_picture(own, methods)}
    return Summary("detect", tuple(tables), figures, left_out, conditions, pictures)

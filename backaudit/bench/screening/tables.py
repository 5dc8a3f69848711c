"""Everything that is said about the results of a benchmark of screeners."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from backaudit.bench.screening.attacked import attacked, records
from backaudit.bench.screening.captions import captions
from backaudit.bench.screening.costs import costs_table
from backaudit.bench.screening.curves import curves_picture
from backaudit.bench.screening.false_flags import false_flags_table
from backaudit.bench.screening.scores import scores_table
from backaudit.bench.screening.trials import Plan
from backaudit.bench.screening.violins import violins_picture
from backaudit.bench.tables.summary import Summary
from backaudit.bench.trials.results import Record
from backaudit.bench.trials.selection import LeftOut


def summarise(
    results: Sequence[Record],
    plan: Plan,
    left_out: Sequence[LeftOut],
    conditions: dict[str, Any],
    *,
    only_successful: bool = False,
) -> Summary:
    """Make the tables and the pictures.

    Args:
        results: of the plan's screeners.
        plan: what was tried.
        left_out: models that the benchmark is made without.
        conditions: under which all results were made, for the record.
        only_successful: which images the printed table and the ROC curves count, see ``seen``; the
            records hold both.
    """
    methods = plan.methods
    rows = {only: attacked(results, methods, only_successful=only) for only in (False, True)}
    scores = scores_table(rows[only_successful], methods, only_successful=only_successful)
    scores = replace(scores, notes=(*captions(plan, results), *scores.notes))
    false_flags, false_flag_records = false_flags_table(results, methods)
    costs, cost_records = costs_table(results, methods)
    tables = [scores, *([false_flags] if false_flags else []), costs]
    figures = {
        "all_images": records(rows[False], methods),
        "successful_images": records(rows[True], methods),
        "false_flags": false_flag_records,
        "costs": cost_records,
    }
    pictures = {f"violins-{method}": violins_picture(results, method) for method in methods}
    pictures["roc"] = curves_picture(results, methods, only_successful=only_successful)
    return Summary("screen", tuple(tables), figures, left_out, conditions, pictures)

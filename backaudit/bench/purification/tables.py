"""Everything that is said about the results of a benchmark of purifiers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from backaudit.bench.purification.captions import captions
from backaudit.bench.purification.costs import costs_table
from backaudit.bench.purification.effects import effects_table
from backaudit.bench.purification.trials import Plan
from backaudit.bench.tables.summary import Summary
from backaudit.bench.trials.results import Record
from backaudit.bench.trials.selection import LeftOut


def summarise(
    results: Sequence[Record],
    plan: Plan,
    left_out: Sequence[LeftOut],
    conditions: dict[str, Any],
) -> Summary:
    """Make the tables.

    Args:
        results: of the plan's methods.
        plan: what was tried.
        left_out: models that the benchmark is made without.
        conditions: under which all results were made, for the record.
    """
    effects, effect_records = effects_table(results, plan.names)
    effects = replace(effects, notes=(*effects.notes, *captions(plan, results)))
    costs, cost_records = costs_table(results, plan.names)
    figures = {"effects": effect_records, "costs": cost_records}
    return Summary("purify", (effects, costs), figures, left_out, conditions)

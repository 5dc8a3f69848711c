"""Under which settings results were made, in sentences below the tables."""

from collections.abc import Sequence

from backaudit.bench.screening.figures import is_screened
from backaudit.bench.screening.trials import Plan
from backaudit.bench.tables.captions import images_text, reasons, settings_text
from backaudit.bench.trials.results import Record
from backaudit.firewall.calibration import DEFAULT_RATE
from backaudit.screeners.interface import Screener


def captions(plan: Plan, results: Sequence[Record]) -> tuple[str, ...]:
    """Sentences on what the screeners had, their settings, and why some gave no scores.

    Args:
        plan: what was tried.
        results: what came of it.
    """
    silent = [result for result in results if not is_screened(result)]
    return (
        f"Calibrated with {images_text(plan.sample)}, and shown others.",
        *(
            f"{each.rule.name}: {settings_text(each)}; {_threshold(each, plan)}."
            for each in plan.screeners
        ),
        *reasons(silent, "No scores, so in no figure"),
    )


def _threshold(screener: Screener, plan: Plan) -> str:
    if plan.false_flag_rate is None and screener.threshold is not None:
        return f"its own threshold {screener.threshold:g}"
    rate = DEFAULT_RATE if plan.false_flag_rate is None else plan.false_flag_rate
    return f"threshold for a false-flag rate of {rate:.1%}"

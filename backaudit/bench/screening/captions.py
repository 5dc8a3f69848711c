"""Under which settings results were made, in sentences below the tables."""

from collections.abc import Iterator, Sequence

from backaudit.bench.screening.figures import is_screened
from backaudit.bench.screening.trials import Plan, settings_of
from backaudit.bench.trials.results import Record
from backaudit.core.printable import counted
from backaudit.firewall.calibration import DEFAULT_RATE
from backaudit.screeners.interface import Screener


def captions(plan: Plan, results: Sequence[Record]) -> tuple[str, ...]:
    """Sentences on what the screeners had, their settings, and why some gave no scores.

    Args:
        plan: what was tried.
        results: what came of it.
    """
    sample = plan.sample
    kind = f"{'labelled' if sample.labelled else 'unlabelled'}{' long-tailed' * sample.imbalanced}"
    return (
        f"Calibrated with {sample.images} {kind} clean images, and shown others.",
        *(
            f"{each.rule.name}: {_settings(each)}; {_threshold(each, plan)}."
            for each in plan.screeners
        ),
        *_without_scores(results),
    )


def _settings(screener: Screener) -> str:
    usual = settings_of(type(screener)())
    other = {n: v for n, v in settings_of(screener).items() if v != usual[n]}
    if not other:
        return "published settings"
    return ", ".join(f"{name} {value} (usually {usual[name]})" for name, value in other.items())


def _threshold(screener: Screener, plan: Plan) -> str:
    if plan.false_flag_rate is None and screener.threshold is not None:
        return f"its own threshold {screener.threshold:g}"
    rate = DEFAULT_RATE if plan.false_flag_rate is None else plan.false_flag_rate
    return f"threshold for a false-flag rate of {rate:.1%}"


def _without_scores(results: Sequence[Record]) -> Iterator[str]:
    reasons: dict[tuple[str, str], int] = {}
    for result in results:
        if not is_screened(result):
            outcome = result["outcome"]
            why = str(outcome.get("reason") or outcome.get("error")).rstrip(".")
            reasons[result["method"], why] = reasons.get((result["method"], why), 0) + 1
    for (method, why), count in sorted(reasons.items()):
        yield f"No scores, so in no figure: {method}, {counted(count, 'result')}: {why}."

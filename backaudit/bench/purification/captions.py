"""Under which settings results were made, in sentences below the tables."""

from collections import Counter
from collections.abc import Iterator, Sequence

from backaudit.bench.purification.figures import is_purified
from backaudit.bench.purification.methods import Single
from backaudit.bench.purification.trials import Plan
from backaudit.bench.tables.captions import images_text, range_text, reasons, settings_text
from backaudit.bench.trials.results import Record
from backaudit.core.printable import counted
from backaudit.core.purification import Result
from backaudit.purification.splitting import FIT, VALIDATION
from backaudit.purification.terms import PurifyTerms
from backaudit.purifiers.in_turn import steps_of
from backaudit.purifiers.interface import Purifier


def captions(plan: Plan, results: Sequence[Record]) -> Iterator[str]:
    """Sentences on what the methods had, their settings, and why some made no network.

    Args:
        plan: what was tried.
        results: what came of it.
    """
    yield (
        f"Purified with {images_text(plan.sample)}, of each class {FIT:.0%} to train on and "
        f"{VALIDATION:.0%} to choose by; measured on {_measured_on(results)} a model, none of them "
        "among those."
    )
    for method in plan.methods:
        tried = "; ".join(f"{each.rule.name}: {_settings(each)}" for each in method.purifiers)
        yield f"{tried}." if isinstance(method, Single) else f"{method.name}, of these: {tried}."
    yield from _choices(results)
    nothing = [result for result in results if not is_purified(result)]
    yield from reasons(nothing, "No network, so in no figure")


def _settings(purifier: Purifier) -> str:
    """What is set, with the name of each purifier that runs if there are several."""
    steps = steps_of(purifier)
    if len(steps) == 1:
        return settings_text(purifier)
    return ", then ".join(f"{step.rule.name} ({settings_text(step)})" for step in steps)


def _measured_on(results: Sequence[Record]) -> str:
    outcomes = [result["outcome"] for result in results if is_purified(result)]
    clean = {each["clean_images"] for each in outcomes}
    triggered = {each["triggered_images"] for each in outcomes} - {0}
    return f"{range_text(clean)} clean and {range_text(triggered)} triggered test images"


def _choices(results: Sequence[Record]) -> Iterator[str]:
    """How often ``auto`` took what, and what would not have been written."""
    made = [r for r in results if is_purified(r) and "result" in r["outcome"]]
    if not made:
        return
    taken = Counter(result["outcome"]["taken"] or "nothing" for result in made)
    said = ", ".join(f"{name} ({count})" for name, count in taken.most_common())
    method = made[0]["method"]
    yield f"{method} took: {said}; nothing where its scan finds nothing, the model unchanged."
    refused = sum(r["outcome"]["result"] == Result.TOO_INACCURATE.value for r in made)
    if refused:
        yield (
            f"{method}: {counted(refused, 'result')} counted here would not have been written "
            f"without --force: they lose more than {PurifyTerms().max_accuracy_drop:g} points of "
            "accuracy on the images that the command measures on."
        )

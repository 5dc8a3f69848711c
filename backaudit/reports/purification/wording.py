"""What came of a purification, in sentences for a reader who never read the papers."""

from collections.abc import Iterator

from backaudit.core.evidence import Evidence, Failed, NotApplicable, Run
from backaudit.core.measured import Measured, Share
from backaudit.core.printable import counted, printable
from backaudit.core.purification import (
    WORKING_TRIGGER,
    Candidate,
    Purification,
    Result,
    Tried,
)
from backaudit.core.suspect import Suspect
from backaudit.reports.layout import argument
from backaudit.reports.wording import between, class_label, class_list, number, percent

TITLES = {
    Result.PURIFIED: "purified",
    Result.STILL_FOUND: "still suspicious",
    Result.INCONCLUSIVE: "inconclusive",
    Result.TOO_INACCURATE: "not written",
    Result.NOTHING_FOUND: "nothing to repair",
}


def title(made: Purification) -> str:
    """The result in two or three words."""
    if made.result is Result.STILL_FOUND and made.trigger_works:
        return "trigger still works"
    return TITLES[made.result]


def headline(made: Purification) -> str:
    """The result in one or two sentences."""
    match made.result:
        case Result.NOTHING_FOUND:
            return (
                "The scan found no evidence of a backdoor, so nothing was changed. That is not "
                "proof of its absence."
            )
        case Result.TOO_INACCURATE:
            return (
                f"The result loses {points(made.accuracy_drop)} of {_accuracy_word(made)}, and "
                f"{points(made.max_accuracy_drop)} may be lost."
            )
        case Result.STILL_FOUND if made.trigger_works:
            return "The trigger still works on the result. Do not deploy it."
        case Result.STILL_FOUND:
            return "The detectors still find something in the result. Do not deploy it."
        case Result.INCONCLUSIVE:
            return "The detectors find nothing in the result, but a required check could not look."
        case Result.PURIFIED:
            return "The detectors find no evidence in the result. That is no proof of its absence."


def why(made: Purification) -> str:
    """What it rests on, in a sentence."""
    if made.after is None:
        return f"By {printable(made.detected.source if made.detected else '', 120)}."
    before, after = made.before.accuracy, made.after.accuracy
    word = _accuracy_word(made).capitalize()
    output = made.output
    wrote = f"Written to {printable(output.path, 60)}. " if output and output.written else ""
    return (
        f"{wrote}{word} {percent(before.rate)} before, {percent(after.rate)} after, on "
        f"{counted(before.images, 'image')} that it was not purified with."
    )


def points(value: float) -> str:
    """A difference of two rates."""
    return f"{value:.1f} points"


def share(of: Share) -> str:
    """A rate with its images and its interval."""
    if not of.images:
        return "no image"
    return f"{percent(of.rate)} ({between(*of.interval)})"


def verdict(found: Measured, made: Purification) -> str:
    """What the detectors say together."""
    targets = class_list(made.suspect, found.judgement.target_classes)
    return f"{found.judgement.verdict.value}{': ' + targets if targets else ''}"


def reading(run: Run, suspect: Suspect) -> str:
    """What one detector says."""
    match run.outcome:
        case NotApplicable():
            return "did not apply"
        case Failed():
            return "crashed"
        case Evidence() as outcome if outcome.threshold is None:
            return _collapse(outcome, suspect) or f"{number(outcome.score)}, only measures"
        case Evidence() as outcome:
            fires = "FIRES" if outcome.fires else "leans" if outcome.leans else "below"
            return f"{number(outcome.score)} {fires}, threshold {number(outcome.threshold or 0)}"


def _collapse(outcome: Evidence, suspect: Suspect) -> str:
    """Where an amplified network sends clean images, if that was looked at."""
    found = outcome.measurements.get("calibration", {})
    label, rate = found.get("collapse_class"), found.get("collapse_share")
    if not isinstance(label, int) or not isinstance(rate, float):
        return ""
    return f"amplified, {percent(rate)} go to {class_label(suspect, label)}"


def changes(made: Purification, after: Measured) -> str:
    """Which test images are predicted otherwise."""
    lost, won = made.before.lost_to(after), after.lost_to(made.before)
    total = counted(made.before.accuracy.images, "image")
    if not made.clean.labelled:
        return f"of {total}, {lost} no longer predicted as by the original"
    return f"of {total}: {lost} lost, {won} won"


def tried(each: Tried) -> str:
    """What came of one of several purifiers."""
    match each.outcome:
        case NotApplicable(reason=reason):
            return f"did not apply: {printable(reason, 300)}"
        case Failed(error=error):
            return f"failed: {printable(error, 300)}"
        case Candidate() as made:
            found = f", {made.judgement.verdict.value}" if made.judgement else ""
            enough = "" if made.keeps_accuracy else ", too inaccurate"
            kept = (
                f"{percent(made.validation.rate)} of {made.validation.images} images to choose by"
            )
            return f"{kept}{enough}{found} ({each.seconds:.0f} s)"


def scanned(made: Purification) -> Iterator[str]:
    """What scans with all clean images said, if any was made."""
    for when, found in (("before", made.detected), ("after", made.rescanned)):
        if found is not None:
            targets = class_list(made.suspect, found.target_classes)
            towards = f" towards {targets}" if targets else ""
            source = printable(found.source, 120)
            yield f"{when}: {found.verdict.value}{towards}, by {source}"


def forced(made: Purification) -> Iterator[str]:
    """What would not have been done without --force, each thing by itself."""
    if made.despite_scan:
        yield "The scan found no evidence of a backdoor: only --force had it purified."
    if made.after is not None and made.force and not made.keeps_accuracy:
        yield (
            f"It loses {points(made.accuracy_drop)} of {_accuracy_word(made)}, more than the "
            f"{points(made.max_accuracy_drop)} that may be lost: only --force lets it through."
        )
    if made.output is not None and made.output.replaced:
        yield f"{printable(made.output.path, 60)} existed: --force replaced it."


def warnings(made: Purification) -> Iterator[str]:
    """What makes the result or its proof weaker."""
    yield from forced(made)
    attack = made.before.attack
    if attack is not None and attack.success.interval[0] <= WORKING_TRIGGER:
        yield (
            f"Of the images with the trigger only {percent(attack.success.rate)} go to the target "
            "in the original, so they prove nothing about the result: does --target name the "
            "right class, and do they carry the trigger?"
        )
    yield from made.split.warnings


def not_known(made: Purification) -> Iterator[str]:
    """What cannot be known, or was not looked at."""
    if not made.trigger:
        yield (
            "How often the trigger still works cannot be known without it: silent detectors prove "
            "nothing. With pictures that carry it: --triggered DIR --target CLASS."
        )
    for measured in (made.after or made.before,):
        yield from (printable(gap, 300) for gap in measured.judgement.not_checked)


def advice(made: Purification) -> Iterator[str]:
    """What to do next."""
    output = argument(made.output.path) if made.output else "the result"
    match made.result:
        case Result.NOTHING_FOUND:
            yield "To purify it all the same: --force, or name a method with --method."
        case Result.TOO_INACCURATE:
            yield (
                "Give more clean images, try another method, or accept it: the same command with "
                "--resume --force writes it without computing it again. To force nothing else: "
                "--resume with a larger --max-accuracy-drop."
            )
        case Result.STILL_FOUND | Result.INCONCLUSIVE:
            yield "Try another method or more clean images (500 are better than 100)."
        case Result.PURIFIED if made.output:
            yield f"backaudit scan {output} with other clean images than these, before it is used."
            yield "Ask where the original came from: what has one backdoor may have others."


def _accuracy_word(made: Purification) -> str:
    return "accuracy" if made.clean.labelled else "agreement with the original"

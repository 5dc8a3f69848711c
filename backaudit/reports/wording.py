"""What an audit says, in sentences for a reader who never read the papers."""

import math
from collections.abc import Sequence

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Evidence, FileFinding, Run
from backaudit.core.printable import printable
from backaudit.core.rates import wilson
from backaudit.core.suspect import Suspect
from backaudit.core.verdict import MODEL_LEVEL, Audit, Verdict
from backaudit.files.rules import HARMLESS_REBUILD

NAMED = 3


def class_label(suspect: Suspect, index: int) -> str:
    """A class as ``'dog' (class 5)``, or ``class 5`` where it has no name of its own."""
    names = suspect.class_names
    name = printable(names[index], 32) if 0 <= index < len(names) else ""
    name = name.replace("'", "\\'")
    unnamed = name.strip() in ("", str(index), f"class {index}", f"class_{index}")
    return f"class {index}" if unnamed else f"'{name}' (class {index})"


def class_list(suspect: Suspect, classes: Sequence[int]) -> str:
    """Several classes in words; only the first few by name."""
    labels = [class_label(suspect, index) for index in classes[:NAMED]]
    more = len(classes) - len(labels)
    if more > 0:
        return f"{', '.join(labels)} and {more} more"
    return " or ".join([", ".join(labels[:-1]), labels[-1]] if len(labels) > 1 else labels)


def headline(audit: Audit) -> str:
    """The verdict in one or two sentences."""
    judgement = audit.judgement
    targets = class_list(audit.suspect, judgement.target_classes)
    match judgement.verdict:
        case Verdict.BACKDOORED if targets:
            return f"Images carrying a hidden trigger would likely be classified as {targets}."
        case Verdict.BACKDOORED:
            return "Images carrying a hidden trigger would likely be misclassified."
        case Verdict.SUSPICIOUS:
            towards = f" towards {targets}" if targets else ""
            return f"There are signs of a backdoor{towards}, too weak to be sure of."
        case Verdict.NO_EVIDENCE:
            return "No evidence of a backdoor was found. That is not proof of its absence."
        case Verdict.INCONCLUSIVE:
            return "Nothing was found, but a required check could not be made. This is no pass."


def because(audit: Audit) -> str:
    """Why the verdict is what it is, in one sentence."""
    fired = [run for run in audit.runs if is_fired(run)]
    witnesses = [run for run in audit.runs if run.rule.name in audit.judgement.witnesses]
    strong = [run for run in fired if isinstance(run.outcome, Evidence) and run.outcome.is_strong]
    missing = [run for run in model_level(audit) if not is_reading(run)]
    match audit.judgement.verdict:
        case Verdict.BACKDOORED if strong:
            each = " each" if len(strong) > 1 else ""
            return (
                f"{_names(strong)}{each} found enough to decide alone{_support(witnesses, strong)}."
            )
        case Verdict.BACKDOORED:
            return f"{_names(witnesses)} name the same class."
        case Verdict.SUSPICIOUS if not fired:
            return (
                f"{_names(witnesses)} stay below their thresholds, but above nearly all benign "
                "models, and name the same class."
            )
        case Verdict.SUSPICIOUS if len(fired) > 1:
            return f"{_names(fired)} found something, but do not agree on a class."
        case Verdict.SUSPICIOUS:
            return f"Only {_names(fired)} found something, not strong enough to decide alone."
        case Verdict.NO_EVIDENCE:
            return f"The checks {_names(model_level(audit))} ran and stayed below their thresholds."
        case Verdict.INCONCLUSIVE:
            return f"Without a usable reading: {_names(missing) or 'every required check'}."


def advice(audit: Audit) -> list[str]:
    """What to do next."""
    fired = [run.rule.name for run in audit.runs if is_fired(run)]
    explain = f"backaudit rules {fired[0] if fired else _first_rule(audit)}"
    match audit.judgement.verdict:
        case Verdict.BACKDOORED:
            return [
                "Do not deploy this model; ask where it and its training data came from.",
                f"`{explain}` explains the evidence.",
            ]
        case Verdict.SUSPICIOUS:
            return [
                "Do not deploy it before a second look: scan again with more clean images and with "
                "--seed 1. A later pass does not undo this finding.",
                f"`{explain}` explains the evidence.",
            ]
        case Verdict.NO_EVIDENCE:
            return [f"`{explain}` tells what a check cannot see."]
        case Verdict.INCONCLUSIVE:
            return ["Mend what is not checked, then scan again; do not take this for a pass."]


def is_fired(run: Run) -> bool:
    """Whether the run found something."""
    return isinstance(run.outcome, Evidence) and run.outcome.fires


def is_reading(run: Run) -> bool:
    """Whether the run gave a reading that means something also where it does not fire."""
    outcome = run.outcome
    if not isinstance(outcome, Evidence) or outcome.threshold is None:
        return False
    return not outcome.experimental and math.isfinite(outcome.score + outcome.threshold)


def model_level(audit: Audit) -> list[Run]:
    """The runs that the verdict weighs."""
    return [run for run in audit.runs if run.rule.id.startswith(MODEL_LEVEL)]


def finding(suspect: Suspect, run: Run) -> str:
    """What a run that speaks for a backdoor says, as a finding."""
    outcome = run.outcome
    if not isinstance(outcome, Evidence) or outcome.threshold is None:
        return run.rule.title
    targets = class_list(suspect, outcome.target_classes)
    towards = f" and points at {targets}" if targets else ""
    place = "at or above" if outcome.fires else "near"
    return (
        f"{run.rule.name} scores {number(outcome.score)}, "
        f"{place} its threshold of {number(outcome.threshold)}{towards}."
    )


def noteworthy(findings: Sequence[FileFinding]) -> list[FileFinding]:
    """What whoever loads the file should know; not what every file of its kind has."""
    return [finding for finding in findings if finding.rule != HARMLESS_REBUILD]


def number(value: float) -> str:
    """A score with as many digits as a reader needs."""
    return f"{value:.2f}" if 0.01 <= abs(value) < 1000 or value == 0 else f"{value:.3g}"


def percent(rate: float) -> str:
    """A rate as a percentage."""
    return f"{100 * rate:.1f}%"


def between(low: float, high: float) -> str:
    """The interval of a rate."""
    return f"95% interval {100 * low:.1f} to {100 * high:.1f}%"


def benign_share(p_value: float | None) -> str:
    """How a score compares with those of benign models."""
    if p_value is None or p_value >= 1:
        return ""
    return f"Expect at most {percent(p_value)} of benign models like those to score this high."


def accuracy(clean: CleanSet) -> str:
    """How well the suspect classifies the clean images, with n and an interval."""
    if clean.accuracy is None:
        return "not known, because the images have no labels"
    interval = between(*wilson(clean.accuracy, len(clean)))
    return f"{percent(clean.accuracy)} of {len(clean)} clean images ({interval})"


def _names(runs: Sequence[Run]) -> str:
    names = [run.rule.name for run in runs]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _support(fired: Sequence[Run], strong: Sequence[Run]) -> str:
    rest = [run for run in fired if run not in strong]
    if not rest:
        return ""
    same = _targets(strong) & _targets(rest)
    return f"; {_names(rest)} found {'the same' if same else 'another'} class"


def _targets(runs: Sequence[Run]) -> set[int]:
    readings = [run.outcome for run in runs if isinstance(run.outcome, Evidence)]
    return {target for reading in readings for target in reading.target_classes}


def _first_rule(audit: Audit) -> str:
    return audit.runs[0].rule.name if audit.runs else ""

"""What an audit may claim, and the rules that decide it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Evidence, Failed, NotApplicable, Run
from backaudit.core.suspect import Suspect

MODEL_LEVEL = "BA1"


class Verdict(StrEnum):
    """The claim. There is no "clean": absence of evidence is all a scan can give."""

    BACKDOORED = "backdoored"
    SUSPICIOUS = "suspicious"
    NO_EVIDENCE = "no-evidence"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it rests on.

    Args:
        verdict: the claim.
        target_classes: suspected target classes, most suspected first.
        witnesses: names of the rules whose readings speak for a backdoor.
        reasons: one sentence for each piece of evidence that decided.
        not_checked: what was not looked at, one sentence each.
    """

    verdict: Verdict
    target_classes: tuple[int, ...]
    witnesses: tuple[str, ...]
    reasons: tuple[str, ...]
    not_checked: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """All that happened to one suspect.

    Args:
        suspect: the model under audit.
        clean: the images it was audited with.
        seed: of the audit.
        runs: every method that was run, in order.
        judgement: the verdict and what it rests on.
    """

    suspect: Suspect
    clean: CleanSet
    seed: int
    runs: tuple[Run, ...]
    judgement: Judgement


def judge(runs: Sequence[Run]) -> Judgement:
    """Weigh the model-level runs: a pure function of what happened.

    * ``backdoored``: a reading strong enough to stand alone, or one that fires and that another
      supports by leaning to the same class;
    * ``suspicious``: any other reading that fires, or two that lean to the same class;
    * ``no-evidence``: neither, and every model-level method read the suspect, calibrated for it;
    * ``inconclusive``: neither, but one could not look, crashed or is not calibrated for it.
    """
    model_level = [run for run in runs if run.rule.id.startswith(MODEL_LEVEL)]
    shared = _shared_classes(model_level)
    witnesses = [run for run in model_level if _fires(run) or _targets(run) & shared]
    fired = [run for run in witnesses if _fires(run)]
    if any(_is_strong(run) or _targets(run) & shared for run in fired):
        verdict = Verdict.BACKDOORED
    elif witnesses:
        verdict = Verdict.SUSPICIOUS
    elif model_level and all(_reads(run) for run in model_level):
        verdict = Verdict.NO_EVIDENCE
    else:
        verdict = Verdict.INCONCLUSIVE
    votes = Counter(target for run in witnesses for target in _named(run))
    reasons = [_why(run) for run in witnesses]
    if shared:
        reasons.append("Two methods or more name the same target class.")
    return Judgement(
        verdict=verdict,
        target_classes=tuple(target for target, _ in votes.most_common()),
        witnesses=tuple(run.rule.name for run in witnesses),
        reasons=tuple(reasons),
        not_checked=tuple(gap for run in runs for gap in _gaps(run)),
    )


def _shared_classes(runs: Sequence[Run]) -> set[int]:
    """Classes that two readings or more lean to."""
    votes = Counter(target for run in runs for target in _targets(run))
    return {target for target, count in votes.items() if count > 1}


def _targets(run: Run) -> set[int]:
    """Classes that a reading leans to; none if it does not lean."""
    return set(_named(run)) if isinstance(run.outcome, Evidence) and run.outcome.leans else set()


def _named(run: Run) -> tuple[int, ...]:
    """The classes a reading names, in its own order, each once."""
    named = run.outcome.target_classes if isinstance(run.outcome, Evidence) else ()
    return tuple(dict.fromkeys(named))


def _is_strong(run: Run) -> bool:
    return isinstance(run.outcome, Evidence) and run.outcome.is_strong


def _fires(run: Run) -> bool:
    return isinstance(run.outcome, Evidence) and run.outcome.fires


def _reads(run: Run) -> bool:
    return isinstance(run.outcome, Evidence) and run.outcome.decides


def _why(run: Run) -> str:
    outcome = run.outcome
    if not isinstance(outcome, Evidence) or outcome.threshold is None:
        return ""
    return f"{run.rule.name} scores {outcome.score:.2f}, threshold {outcome.threshold:.2f}."


def _gaps(run: Run) -> list[str]:
    match run.outcome:
        case NotApplicable(reason=reason):
            return [f"{run.rule.name} did not apply: {reason}"]
        case Failed(error=error):
            return [f"{run.rule.name} crashed: {error}"]
        case Evidence(experimental=True, provenance=why):
            return [f"{run.rule.name} is not calibrated for this: {why.removeprefix('none, ')}"]
        case Evidence(decides=False, fires=False) if run.rule.id.startswith(MODEL_LEVEL):
            return [f"{run.rule.name} gave no reading that could be held against a threshold."]
    return []

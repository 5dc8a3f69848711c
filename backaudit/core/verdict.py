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
        reasons: one sentence for each piece of evidence that decided.
        not_checked: what was not looked at, one sentence each.
    """

    verdict: Verdict
    target_classes: tuple[int, ...]
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

    * ``backdoored``: a reading strong enough to stand alone, or two that fire and name a class
      in common;
    * ``suspicious``: any other reading that fires;
    * ``no-evidence``: every model-level method read the suspect, inside its calibration, and none
      fires;
    * ``inconclusive``: none fires, but one could not look, crashed or is not calibrated for it.
    """
    model_level = [run for run in runs if run.rule.id.startswith(MODEL_LEVEL)]
    fired = [(run, run.outcome) for run in model_level if _fires(run)]
    readings = [outcome for _, outcome in fired if isinstance(outcome, Evidence)]
    # dict.fromkeys: a reading votes once for a class, and in its own order.
    votes = Counter(
        target for reading in readings for target in dict.fromkeys(reading.target_classes)
    )
    agree = len(readings) > 1 and max(votes.values(), default=0) > 1
    if agree or any(reading.is_strong for reading in readings):
        verdict = Verdict.BACKDOORED
    elif readings:
        verdict = Verdict.SUSPICIOUS
    elif model_level and all(_reads(run) for run in model_level):
        verdict = Verdict.NO_EVIDENCE
    else:
        verdict = Verdict.INCONCLUSIVE
    reasons = [_why_fired(run) for run, _ in fired]
    if agree:
        reasons.append("The methods that fire name the same target class.")
    return Judgement(
        verdict=verdict,
        target_classes=tuple(target for target, _ in votes.most_common()),
        reasons=tuple(reasons),
        not_checked=tuple(gap for run in runs for gap in _gaps(run)),
    )


def _fires(run: Run) -> bool:
    return isinstance(run.outcome, Evidence) and run.outcome.fires


def _reads(run: Run) -> bool:
    return isinstance(run.outcome, Evidence) and run.outcome.decides


def _why_fired(run: Run) -> str:
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
        case Evidence(experimental=True):
            return [f"{run.rule.name} is not calibrated for this kind of network."]
        case Evidence(decides=False, fires=False) if run.rule.id.startswith(MODEL_LEVEL):
            return [f"{run.rule.name} gave no reading that could be held against a threshold."]
    return []

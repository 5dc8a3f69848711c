"""A purification as a JSON record; ``purification.schema.json`` one folder up is its schema."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from backaudit.core.evidence import Failed, NotApplicable, Run
from backaudit.core.measured import AttackMeasured, Measured, Share
from backaudit.core.purification import Candidate, Detected, Output, Purification, Tried
from backaudit.core.version import own_version
from backaudit.reports.json import clean_set_record, rule_record, run_record, suspect_record
from backaudit.reports.plain import SCHEMA_VERSION, dumped, finite, versions
from backaudit.reports.purification.wording import headline, not_known, warnings

BlindTo = Mapping[str, str]


def render(made: Purification, blind_to: BlindTo | None = None) -> str:
    """Write the record.

    Args:
        made: what happened.
        blind_to: detector name -> what it cannot see.
    """
    return dumped(record(made, blind_to or {}))


def record(made: Purification, blind_to: BlindTo) -> dict[str, Any]:
    """Lay out the record that other programs rely on."""
    parts = {name: len(getattr(made.split, name)) for name in ("fit", "validation", "test")}
    found = {
        "schema_version": SCHEMA_VERSION,
        "backaudit_version": own_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "result": made.result.value,
        "headline": headline(made),
        "exit_code": made.result.exit_code,
        "seed": made.seed,
        "suspect": suspect_record(made.suspect),
        "clean_set": clean_set_record(made.suspect, made.clean) | parts,
        "audit": None if made.detected is None else _detected(made.detected),
        "audit_after": None if made.rescanned is None else _detected(made.rescanned),
        "method": None if made.method is None else _method(made.method),
        "tried": [_tried(each, blind_to) for each in made.tried],
        "before": _measured(made, made.before, blind_to),
        "after": None if made.after is None else _measured(made, made.after, blind_to),
        "accuracy_drop": None if made.after is None else _drop(made, made.after),
        "triggered": made.trigger or None,
        "output": None if made.output is None else _output(made.output),
        "warnings": list(warnings(made)),
        "not_known": list(not_known(made)),
        "seconds": round(made.seconds, 3),
        "versions": versions(),
    }
    plain: dict[str, Any] = finite(found)
    return plain


def _detected(detected: Detected) -> dict[str, Any]:
    return {
        "verdict": detected.verdict.value,
        "target_classes": detected.target_classes,
        "source": detected.source,
    }


def _method(tried: Tried) -> dict[str, Any]:
    made = tried.outcome
    return {
        "rule": rule_record(tried.rule) | {"title": tried.rule.title},
        "settings": tried.settings,
        "seconds": round(tried.seconds, 3),
        "measurements": made.measurements if isinstance(made, Candidate) else {},
    }


def _tried(tried: Tried, blind_to: BlindTo) -> dict[str, Any]:
    return {
        "rule": rule_record(tried.rule),
        "settings": tried.settings,
        "seconds": round(tried.seconds, 3),
        "outcome": _outcome(tried.outcome, blind_to),
    }


def _outcome(outcome: Candidate | NotApplicable | Failed, blind_to: BlindTo) -> dict[str, Any]:
    match outcome:
        case NotApplicable(reason=reason):
            return {"kind": "not-applicable", "reason": reason}
        case Failed(error=error):
            return {"kind": "failed", "error": error}
        case Candidate():
            judgement = outcome.judgement
            return {
                "kind": "purified",
                "good_enough": outcome.good_enough,
                "validation_accuracy": _share(outcome.validation),
                "accuracy_drop": outcome.accuracy_drop,
                "verdict": None if judgement is None else judgement.verdict.value,
                "runs": _runs(outcome.runs, blind_to),
                "measurements": outcome.measurements,
            }


def _measured(made: Purification, found: Measured, blind_to: BlindTo) -> dict[str, Any]:
    labelled, accuracy = made.clean.labelled, found.accuracy
    names = made.suspect.class_names
    return {
        "clean_accuracy": accuracy.rate if labelled else None,
        "clean_accuracy_interval": accuracy.interval if labelled else None,
        "agreement_with_suspect": None if labelled else accuracy.rate,
        "images": accuracy.images,
        "per_class": [
            {"class": each.label, "name": names[each.label]} | _share(each.share)
            for each in found.per_class
        ],
        "verdict": found.judgement.verdict.value,
        "target_classes": found.judgement.target_classes,
        "not_checked": found.judgement.not_checked,
        "scanned_images": len(made.split.held_out),
        "runs": _runs(found.runs, blind_to),
        "attack": None if found.attack is None else _attack(found.attack),
    }


def _runs(runs: tuple[Run, ...], blind_to: BlindTo) -> list[dict[str, Any]]:
    return [run_record(run, blind_to.get(run.rule.name)) for run in runs]


def _attack(attack: AttackMeasured) -> dict[str, Any]:
    recovered = attack.recovered
    return {
        "attack_success_rate": _share(attack.success),
        "robust_accuracy": None if recovered is None else _share(recovered),
    }


def _drop(made: Purification, after: Measured) -> dict[str, Any]:
    return {
        "points": made.accuracy_drop,
        "allowed": made.max_accuracy_drop,
        "kept": made.keeps_accuracy,
        "forced": made.force and not made.keeps_accuracy,
        "images_lost": made.before.lost_to(after),
        "images_won": after.lost_to(made.before),
    }


def _output(output: Output) -> dict[str, Any]:
    return asdict(output) | {"path": str(output.path)}


def _share(share: Share) -> dict[str, Any]:
    return {
        "rate": share.rate,
        "interval": share.interval,
        "hits": share.hits,
        "images": share.images,
    }

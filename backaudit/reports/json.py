"""The audit as a JSON record; ``audit.schema.json`` beside this file is its published schema."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Evidence, Failed, NotApplicable, Outcome, Rule, Run
from backaudit.core.rates import wilson
from backaudit.core.suspect import Suspect
from backaudit.core.version import own_version
from backaudit.reports import refusal
from backaudit.reports.findings import finding_record
from backaudit.reports.plain import SCHEMA_VERSION, dumped, finite, versions
from backaudit.reports.report import Refusal, Report
from backaudit.reports.wording import class_label, finding, headline, noteworthy


def render(report: Report | Refusal) -> str:
    """Write the record."""
    return dumped(refusal.record(report) if isinstance(report, Refusal) else record(report))


def record(report: Report) -> dict[str, Any]:
    """Lay out the record that other programs rely on."""
    audit, judgement = report.audit, report.audit.judgement
    found = {
        "schema_version": SCHEMA_VERSION,
        "backaudit_version": own_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": judgement.verdict.value,
        "headline": headline(audit),
        "target_classes": judgement.target_classes,
        "target_class_names": [class_label(audit.suspect, k) for k in judgement.target_classes],
        "reasons": judgement.reasons,
        "exit_code": int(report.exit_code),
        "seed": audit.seed,
        "suspect": _suspect(audit.suspect, audit.clean),
        "clean_set": clean_set_record(audit.suspect, audit.clean),
        "runs": [run_record(run, report.blind_to.get(run.rule.name)) for run in audit.runs],
        "findings": [
            *(
                {"rule": rule_record(run.rule), "message": finding(audit.suspect, run)}
                for run in audit.runs
                if run.rule.name in judgement.witnesses
            ),
            *(finding_record(each) for each in noteworthy(audit.suspect.findings)),
        ],
        "not_checked": judgement.not_checked,
        "versions": versions(),
    }
    plain: dict[str, Any] = finite(found)
    return plain


def _suspect(suspect: Suspect, clean: CleanSet) -> dict[str, Any]:
    accuracy = clean.accuracy
    return suspect_record(suspect) | {
        "clean_accuracy": accuracy,
        "clean_accuracy_interval": None if accuracy is None else wilson(accuracy, len(clean)),
    }


def suspect_record(suspect: Suspect) -> dict[str, Any]:
    """Lay out which model it is, and what had to be guessed about it."""
    return {
        "path": str(suspect.path),
        "sha256": suspect.sha256,
        "format": suspect.format,
        "architecture": suspect.architecture,
        "num_classes": suspect.num_classes,
        "image_shape": suspect.image_shape,
        "class_names": suspect.class_names,
        "assumptions": suspect.assumptions,
        "device": str(suspect.device),
    }


def clean_set_record(suspect: Suspect, clean: CleanSet) -> dict[str, Any]:
    """Lay out which clean images a suspect was audited with, and how they were fitted to it."""
    return {
        "source": clean.source,
        "sha256": clean.sha256,
        "images": len(clean),
        "classes": clean.num_present,
        "labelled": clean.labelled,
        "preprocessing": asdict(suspect.preprocessing),
        "class_matching": clean.class_matching,
    }


def run_record(run: Run, blind_to: str | None) -> dict[str, Any]:
    """Lay out a run, with what its method cannot see."""
    return {
        "rule": rule_record(run.rule) | {"title": run.rule.title, "blind_to": blind_to},
        "settings": run.settings,
        "seed": run.seed,
        "seconds": round(run.seconds, 3),
        "outcome": outcome_record(run.outcome),
    }


def rule_record(rule: Rule) -> dict[str, Any]:
    """Lay out which check it is."""
    return {"id": rule.id, "name": rule.name}


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """Lay out what came of a run."""
    match outcome:
        case NotApplicable(reason=reason):
            return {"kind": "not-applicable", "reason": reason}
        case Failed(error=error):
            return {"kind": "failed", "error": error}
        case Evidence():
            return {
                "kind": "evidence",
                "score": outcome.score,
                "threshold": outcome.threshold,
                "strong_threshold": outcome.strong,
                "supporting_threshold": outcome.lean,
                "fires": outcome.fires,
                "p_value": outcome.p_value,
                "provenance": outcome.provenance,
                "experimental": outcome.experimental,
                "target_classes": outcome.target_classes,
                "measurements": outcome.measurements,
            }

"""The calibration of the input-level firewall, as a file that a later check can start from."""

from backaudit.core.evidence import Evidence, Run
from backaudit.core.verdict import Audit
from backaudit.reports.plain import SCHEMA_VERSION, dumped, finite, versions

INPUT_LEVEL = "BA2"


def calibration_run(audit: Audit) -> Run | None:
    """The run that calibrated an input-level check, if one did."""
    for run in audit.runs:
        if run.rule.id.startswith(INPUT_LEVEL) and isinstance(run.outcome, Evidence):
            return run if "calibration" in run.outcome.measurements else None
    return None


def render_calibration(audit: Audit, run: Run) -> str:
    """Write down the calibration of ``run`` and which model it belongs to, as JSON."""
    measured = run.outcome.measurements if isinstance(run.outcome, Evidence) else {}
    preprocessing = audit.suspect.preprocessing
    record = {
        "schema_version": SCHEMA_VERSION,
        "sha256": audit.suspect.sha256,
        "architecture": audit.suspect.architecture,
        "preprocessing": {
            "size": preprocessing.size,
            "mean": preprocessing.mean,
            "std": preprocessing.std,
        },
        "rule": {"id": run.rule.id, "name": run.rule.name},
        "settings": run.settings,
        "seed": run.seed,
        "calibration": measured["calibration"],
        "notes": measured.get("notes", []),
        "versions": versions(),
    }
    return dumped(finite(record))

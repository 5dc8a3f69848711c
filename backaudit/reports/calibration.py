"""Which run of an audit calibrated the input-level firewall."""

from backaudit.core.evidence import Evidence, Run
from backaudit.core.verdict import Audit

INPUT_LEVEL = "BA2"


def calibration_run(audit: Audit) -> Run | None:
    """The run that calibrated an input-level check, if one did."""
    for run in audit.runs:
        if run.rule.id.startswith(INPUT_LEVEL) and isinstance(run.outcome, Evidence):
            return run if "calibration" in run.outcome.measurements else None
    return None

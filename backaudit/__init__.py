"""backaudit: audit image classifiers for backdoors.

The public API; each name is imported when it is first used, so that ``import backaudit`` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backaudit.audit import scan
    from backaudit.core.clean_set import CleanSet
    from backaudit.core.errors import (
        BackauditError,
        CalibrationError,
        CheckpointError,
        CleanSetError,
        DivergedError,
        InputError,
        NotApplicableError,
        OutputError,
        SettingError,
        SuspectModifiedError,
        UnsafeFileError,
    )
    from backaudit.core.evidence import Evidence, Failed, FileFinding, NotApplicable, Rule, Run
    from backaudit.core.measured import Measured
    from backaudit.core.purification import Purification
    from backaudit.core.screening import Calibration, Screened
    from backaudit.core.suspect import Prepared, Preprocessing, Suspect
    from backaudit.core.verdict import Audit, Judgement, Verdict, judge
    from backaudit.detectors import DETECTORS
    from backaudit.detectors.interface import Detector
    from backaudit.files.limits import Limits
    from backaudit.firewall.calibration import calibrate
    from backaudit.firewall.calibration_file import (
        CalibrationFile,
        read_calibrations,
        render_calibrations,
    )
    from backaudit.firewall.export import export_guarded
    from backaudit.firewall.guarded import GuardedNetwork, guard
    from backaudit.firewall.screen import ImageBatch, ImageResult, screen
    from backaudit.firewall.screener import FittedScreener
    from backaudit.firewall.summary import Summary
    from backaudit.loading.inspection.inspection import Inspection, inspect
    from backaudit.loading.load import LoadOptions, load
    from backaudit.loading.prepared import load_prepared, prepared_of
    from backaudit.purification.purify import purify
    from backaudit.purification.terms import PurifyTerms
    from backaudit.purification.triggered import read_triggered
    from backaudit.purifiers import PURIFIERS
    from backaudit.purifiers.interface import Purifier
    from backaudit.reports.formats import RENDERERS
    from backaudit.reports.report import Report
    from backaudit.screeners import SCREENERS

__all__ = [
    "DETECTORS",
    "PURIFIERS",
    "RENDERERS",
    "SCREENERS",
    "Audit",
    "BackauditError",
    "Calibration",
    "CalibrationError",
    "CalibrationFile",
    "CheckpointError",
    "CleanSet",
    "CleanSetError",
    "Detector",
    "DivergedError",
    "Evidence",
    "Failed",
    "FileFinding",
    "FittedScreener",
    "GuardedNetwork",
    "ImageBatch",
    "ImageResult",
    "InputError",
    "Inspection",
    "Judgement",
    "Limits",
    "LoadOptions",
    "Measured",
    "NotApplicable",
    "NotApplicableError",
    "OutputError",
    "Prepared",
    "Preprocessing",
    "Purification",
    "Purifier",
    "PurifyTerms",
    "Report",
    "Rule",
    "Run",
    "Screened",
    "SettingError",
    "Summary",
    "Suspect",
    "SuspectModifiedError",
    "UnsafeFileError",
    "Verdict",
    "calibrate",
    "export_guarded",
    "guard",
    "inspect",
    "judge",
    "load",
    "load_prepared",
    "prepared_of",
    "purify",
    "read_calibrations",
    "read_triggered",
    "render_calibrations",
    "scan",
    "screen",
]

_HOMES = {
    "backaudit.audit": ("scan",),
    "backaudit.core.clean_set": ("CleanSet",),
    "backaudit.core.errors": (
        "BackauditError",
        "CalibrationError",
        "CheckpointError",
        "CleanSetError",
        "DivergedError",
        "InputError",
        "NotApplicableError",
        "OutputError",
        "SettingError",
        "SuspectModifiedError",
        "UnsafeFileError",
    ),
    "backaudit.core.evidence": (
        "Evidence",
        "Failed",
        "FileFinding",
        "NotApplicable",
        "Rule",
        "Run",
    ),
    "backaudit.core.measured": ("Measured",),
    "backaudit.core.purification": ("Purification",),
    "backaudit.core.screening": ("Calibration", "Screened"),
    "backaudit.core.suspect": ("Prepared", "Preprocessing", "Suspect"),
    "backaudit.core.verdict": ("Audit", "Judgement", "Verdict", "judge"),
    "backaudit.detectors": ("DETECTORS",),
    "backaudit.detectors.interface": ("Detector",),
    "backaudit.files.limits": ("Limits",),
    "backaudit.firewall.calibration": ("calibrate",),
    "backaudit.firewall.calibration_file": (
        "CalibrationFile",
        "read_calibrations",
        "render_calibrations",
    ),
    "backaudit.firewall.export": ("export_guarded",),
    "backaudit.firewall.guarded": ("GuardedNetwork", "guard"),
    "backaudit.firewall.screen": ("ImageBatch", "ImageResult", "screen"),
    "backaudit.firewall.screener": ("FittedScreener",),
    "backaudit.firewall.summary": ("Summary",),
    "backaudit.loading.inspection.inspection": ("Inspection", "inspect"),
    "backaudit.loading.load": ("LoadOptions", "load"),
    "backaudit.loading.prepared": ("load_prepared", "prepared_of"),
    "backaudit.purification.purify": ("purify",),
    "backaudit.purification.terms": ("PurifyTerms",),
    "backaudit.purification.triggered": ("read_triggered",),
    "backaudit.purifiers": ("PURIFIERS",),
    "backaudit.purifiers.interface": ("Purifier",),
    "backaudit.reports.formats": ("RENDERERS",),
    "backaudit.reports.report": ("Report",),
    "backaudit.screeners": ("SCREENERS",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

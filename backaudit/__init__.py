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
        CheckpointError,
        CleanSetError,
        NotApplicableError,
        OutputError,
        SettingError,
        SuspectModifiedError,
        UnsafeFileError,
    )
    from backaudit.core.evidence import Evidence, Failed, FileFinding, NotApplicable, Rule, Run
    from backaudit.core.suspect import Preprocessing, Suspect
    from backaudit.core.verdict import Audit, Judgement, Verdict, judge
    from backaudit.detectors import DETECTORS
    from backaudit.detectors.interface import Detector
    from backaudit.files.limits import Limits
    from backaudit.loading.inspection.inspection import Inspection, inspect
    from backaudit.loading.load import LoadOptions, load
    from backaudit.reports.formats import RENDERERS
    from backaudit.reports.report import Report

__all__ = [
    "DETECTORS",
    "RENDERERS",
    "Audit",
    "BackauditError",
    "CheckpointError",
    "CleanSet",
    "CleanSetError",
    "Detector",
    "Evidence",
    "Failed",
    "FileFinding",
    "Inspection",
    "Judgement",
    "Limits",
    "LoadOptions",
    "NotApplicable",
    "NotApplicableError",
    "OutputError",
    "Preprocessing",
    "Report",
    "Rule",
    "Run",
    "SettingError",
    "Suspect",
    "SuspectModifiedError",
    "UnsafeFileError",
    "Verdict",
    "inspect",
    "judge",
    "load",
    "scan",
]

_HOMES = {
    "backaudit.audit": ("scan",),
    "backaudit.core.clean_set": ("CleanSet",),
    "backaudit.core.errors": (
        "BackauditError",
        "CheckpointError",
        "CleanSetError",
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
    "backaudit.core.suspect": ("Preprocessing", "Suspect"),
    "backaudit.core.verdict": ("Audit", "Judgement", "Verdict", "judge"),
    "backaudit.detectors": ("DETECTORS",),
    "backaudit.detectors.interface": ("Detector",),
    "backaudit.files.limits": ("Limits",),
    "backaudit.loading.inspection.inspection": ("Inspection", "inspect"),
    "backaudit.loading.load": ("LoadOptions", "load"),
    "backaudit.reports.formats": ("RENDERERS",),
    "backaudit.reports.report": ("Report",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

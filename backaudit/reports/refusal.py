"""The report of a scan that ended at the file, because the file is unsafe."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from backaudit.core.printable import printable
from backaudit.core.version import own_version
from backaudit.reports.findings import (
    COLOUR,
    TITLE,
    advice,
    finding_record,
    finding_rows,
    headline,
)
from backaudit.reports.layout import argument, banner, rows
from backaudit.reports.plain import SCHEMA_VERSION, finite, versions
from backaudit.reports.report import Refusal

NOT_LOOKED = (
    "The network was not looked at: nothing of the file was loaded, and no clean image was opened."
)


def page(refusal: Refusal) -> RenderableType:
    """Lay out the report of a scan that ended at the file."""
    survey = refusal.survey
    inspect = f"backaudit inspect {argument(survey.path)}"
    return Group(
        banner(TITLE, COLOUR, headline(survey), NOT_LOOKED),
        rows("Model", f"{printable(survey.path, 120)} ({printable(survey.format)})"),
        rows("SHA-256", printable(survey.sha256)),
        Text(),
        *finding_rows(survey.unsafe),
        Text(),
        rows("Next", *advice(survey), f"All that the file names: {inspect}"),
        rows("Ran", f"backaudit {own_version()}, exit code {refusal.exit_code}"),
    )


def record(refusal: Refusal) -> dict[str, Any]:
    """Lay out the audit record; what is unknown is null."""
    survey = refusal.survey
    found = {
        "schema_version": SCHEMA_VERSION,
        "backaudit_version": own_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": refusal.verdict.value,
        "headline": headline(survey),
        "target_classes": (),
        "target_class_names": (),
        "reasons": [finding.message for finding in survey.unsafe],
        "exit_code": refusal.exit_code,
        "seed": refusal.seed,
        "suspect": {
            "path": str(survey.path),
            "sha256": survey.sha256,
            "format": survey.format,
            **dict.fromkeys(("architecture", "num_classes", "clean_accuracy")),
        },
        "clean_set": {
            "source": str(refusal.clean),
            "images": 0,
            **dict.fromkeys(("labelled", "preprocessing", "class_matching")),
        },
        "runs": (),
        "findings": [finding_record(finding) for finding in survey.contents.findings],
        "not_checked": (NOT_LOOKED,),
        "versions": versions(),
    }
    plain: dict[str, Any] = finite(found)
    return plain

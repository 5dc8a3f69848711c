"""What was found about a file itself, for every report; imports no torch."""

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from backaudit.core.evidence import FileFinding
from backaudit.core.printable import printable
from backaudit.files.contents import Survey
from backaudit.files.rules import UNSAFE_FILE
from backaudit.reports.layout import rows

SHOWN = 5
LONGEST = 400
TITLE = "unsafe file"
COLOUR = "red"


def headline(survey: Survey) -> str:
    """What is wrong with an unsafe file, in a sentence."""
    if any(finding.rule == UNSAFE_FILE for finding in survey.unsafe):
        return "Loading this file would run code that has no business in a checkpoint."
    return "Other programs would read other contents in this file than a scanner does."


def advice(survey: Survey) -> list[str]:
    """What to do about an unsafe file."""
    rules = dict.fromkeys(finding.rule.id for finding in survey.unsafe)
    explain = " and ".join(f"`backaudit rules {rule}`" for rule in rules)
    return [
        "Do not load it, with any program. Ask who made it for the weights alone: the state dict, "
        "or better safetensors.",
        f"What was checked: {explain}.",
    ]


def finding_rows(findings: Sequence[FileFinding], most: int = SHOWN) -> list[RenderableType]:
    """One row for each finding, unsafe ones first; of many only the first."""
    ordered = sorted(findings, key=lambda finding: not finding.unsafe)
    shown: list[RenderableType] = [
        rows(
            Text(finding.rule.id, f"bold {COLOUR if finding.unsafe else 'yellow'}"),
            printable(finding.message, LONGEST),
        )
        for finding in ordered[:most]
    ]
    if len(ordered) > most:
        shown.append(rows("", f"and {len(ordered) - most} more; `-o json` has all."))
    return shown


def finding_record(finding: FileFinding) -> dict[str, Any]:
    """A finding, as JSON."""
    rule = {"id": finding.rule.id, "name": finding.rule.name}
    return {"rule": rule, "message": finding.message, "unsafe": finding.unsafe}

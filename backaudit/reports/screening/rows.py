"""Images as lines, written while the screening goes on, so that memory stays bounded."""

import csv
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from tempfile import TemporaryFile
from typing import Any, Protocol

from backaudit.core.printable import printable
from backaudit.core.suspect import Suspect
from backaudit.reports.plain import finite
from backaudit.reports.screening.json import record
from backaudit.reports.screening.report import Image, Screening

Row = Mapping[str, Any]
LONGEST = 1 << 14
# A spreadsheet takes a cell that begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def image_row(image: Image, suspect: Suspect) -> Row:
    """What is known of an image, as plain JSON."""
    row: Row = finite(
        {
            "path": image.path,
            "score": float(image.score),
            "flagged": bool(image.flagged),
            "predicted_class": int(image.predicted_class),
            "predicted_name": suspect.class_names[image.predicted_class],
            "p_value": float(image.p_value),
            "scores": dict(image.scores),
            "flagged_by": image.flagged_by,
            "error": None,
        }
    )
    return row


def unreadable_row(path: str, problem: str) -> Row:
    """An input that could not be read: with the same keys, and neither flagged nor unflagged."""
    unknown = dict.fromkeys(
        ("score", "flagged", "predicted_class", "predicted_name", "p_value", "scores")
    )
    return {"path": path, **unknown, "flagged_by": [], "error": problem}


class Writer(Protocol):
    """Where text goes."""

    def write(self, text: str, /) -> int:
        """Write all of it."""


class Lines(Protocol):
    """Writes rows as they come."""

    def add(self, row: Row) -> None:
        """Write an image."""

    def finish(self, screening: Screening) -> None:
        """Write what is known once all images were screened."""

    def close(self) -> None:
        """Let go of what was needed meanwhile."""


class JsonLines:
    """One JSON object a line, and nothing else.

    Args:
        stream: to write to.
        methods: the screeners.
    """

    def __init__(self, stream: Writer, methods: Sequence[str]) -> None:
        self.stream = stream

    def add(self, row: Row) -> None:
        """Write an image."""
        self.stream.write(json.dumps(row, allow_nan=False) + "\n")

    def finish(self, screening: Screening) -> None:
        """Nothing is left to write."""

    def close(self) -> None:
        """Nothing is held."""


class Csv:
    """One row an image, for spreadsheets.

    Args:
        stream: to write to.
        methods: the screeners, each of which gets a column.
    """

    def __init__(self, stream: Writer, methods: Sequence[str]) -> None:
        self.methods = methods
        self.writer = csv.writer(stream, lineterminator="\n")
        columns = ("path", "score", "flagged", "predicted_class", "predicted_name", "p_value")
        self.columns = columns
        self.writer.writerow((*columns, *(f"{name} score" for name in methods), "error"))

    def add(self, row: Row) -> None:
        """Write an image."""
        scores = row["scores"] or {}
        cells = [row[column] for column in self.columns]
        cells += [scores.get(name) for name in self.methods]
        self.writer.writerow([_cell(value) for value in (*cells, row["error"])])

    def finish(self, screening: Screening) -> None:
        """Nothing is left to write."""

    def close(self) -> None:
        """Nothing is held."""


class Json:
    """One record of everything, whose images wait on disk until the rest is known.

    Args:
        stream: to write to.
        methods: the screeners.
    """

    def __init__(self, stream: Writer, methods: Sequence[str]) -> None:
        self.stream = stream
        self.waiting = TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 - see close
        self.separator = ""

    def add(self, row: Row) -> None:
        """Keep an image."""
        self.waiting.write(f"{self.separator}\n    {json.dumps(row, allow_nan=False)}")
        self.separator = ","

    def finish(self, screening: Screening) -> None:
        """Write the record."""
        text = json.dumps(record(screening), indent=2, allow_nan=False)
        self.stream.write(text.removesuffix("\n}") + ',\n  "images": [')
        self.waiting.seek(0)
        shutil.copyfileobj(self.waiting, self.stream)
        self.stream.write("\n  ]\n}\n")

    def close(self) -> None:
        """Forget what was kept."""
        self.waiting.close()


LINES: dict[str, Callable[[Writer, Sequence[str]], Lines]] = {
    "jsonl": JsonLines,
    "json": Json,
    "csv": Csv,
}


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    # A spreadsheet may be shown in a terminal too; the exact name is in the other formats.
    text = printable(value, LONGEST)
    return f"'{text}" if text.startswith(FORMULA) else text

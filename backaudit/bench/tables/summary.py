"""Everything that one benchmark says: tables, the same figures as JSON, pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from backaudit.bench.tables.layout import FigureTable, escaped
from backaudit.bench.trials.selection import LeftOut
from backaudit.core.printable import printable
from backaudit.core.writing import write_whole
from backaudit.reports.plain import SCHEMA_VERSION, dumped, finite, versions


@dataclass(frozen=True)
class Summary:
    """Tables, figures and pictures of one set of results.

    Args:
        name: of the benchmark and of the files, as ``detect``.
        tables: in the order in which they are read.
        figures: what the tables show, as records.
        left_out: models that the benchmark is made without.
        conditions: under which all results were made.
        pictures: SVGs by what they show, as ``roc``.
    """

    name: str
    tables: tuple[FigureTable, ...]
    figures: Mapping[str, Any]
    left_out: Sequence[LeftOut]
    conditions: Mapping[str, Any]
    pictures: Mapping[str, str] = field(default_factory=dict)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the tables out below each other."""
        yield from self.tables
        for sentence in self.sentences():
            yield Text(printable(sentence, 2000))

    def sentences(self) -> Iterator[str]:
        """Which models the benchmark is made without, a sentence for each reason."""
        for reason in dict.fromkeys(each.reason for each in self.left_out):
            names = [e.card["recipe"]["name"] for e in self.left_out if e.reason == reason]
            yield f"Left out: {', '.join(names)}: {reason}."

    def record(self) -> dict[str, Any]:
        """All of it in JSON's types."""
        whole: dict[str, Any] = finite(
            {
                "schema_version": SCHEMA_VERSION,
                "conditions": self.conditions,
                **self.figures,
                "left_out": [_left_out_record(each) for each in self.left_out],
                "versions": versions(),
            }
        )
        return whole

    def markdown(self) -> str:
        """The tables for a repository or a job summary."""
        sentences = [f"* {escaped(sentence)}" for sentence in self.sentences()]
        return "\n".join([*(table.markdown() for table in self.tables), *sentences, ""])

    def write(self, folder: Path) -> list[Path]:
        """Write ``NAME.json``, ``NAME.md`` and ``NAME-PICTURE.svg`` over those of earlier calls."""
        contents = {f"{self.name}.json": dumped(self.record()), f"{self.name}.md": self.markdown()}
        contents |= {f"{self.name}-{shown}.svg": svg for shown, svg in self.pictures.items()}
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_whole(folder / name, content.encode())
        return [folder / name for name in contents]


def _left_out_record(left_out: LeftOut) -> dict[str, Any]:
    card = left_out.card
    return {
        "model": card["recipe"]["name"],
        "reason": left_out.reason,
        "attack": card["recipe"]["attack"],
        "attack_success_rate": card.get("attack_success_rate"),
        "clean_accuracy": card["clean_accuracy"],
    }

"""A table of figures: for the terminal, as Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from backaudit.core.printable import printable

PADDING = 1
GAP = PADDING + 1
"""Between two columns: rich adds a line that this kind of box does not show."""
EDGES = 2


@dataclass(frozen=True)
class Columns:
    """Columns that belong together, such as those of one method.

    Args:
        name: above them; may be "".
        heads: one a column.
        rows: their cells, row by row; an empty row leaves the columns free.
    """

    name: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def titles(self) -> tuple[tuple[str, str], ...]:
        """Two lines above each column."""
        names = (self.name, *[""] * (len(self.heads) - 1))
        return tuple(zip(names, self.heads, strict=True))

    @property
    def width(self) -> int:
        """Characters that they take."""
        return sum(
            _width([*title, *(row[index] for row in self.rows if row)]) + GAP
            for index, title in enumerate(self.titles)
        )


@dataclass(frozen=True)
class FigureTable:
    """A table whose rows have a label, and whose columns come in groups.

    On a terminal that is too narrow for all groups, they come below each other.

    Args:
        title: what it shows.
        corner: above the labels.
        labels: one a row; a label whose row is empty everywhere is a heading.
        groups: the columns.
        notes: below it, a sentence or two each.
    """

    title: str
    corner: str
    labels: tuple[str, ...]
    groups: tuple[Columns, ...]
    notes: tuple[str, ...] = ()

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Lay it out in the width there is."""
        labels = _width((self.corner, *self.labels)) + GAP
        room = options.max_width - labels - EDGES
        yield Text(_shown(self.title), "bold")
        for groups in _fitting(self.groups, room):
            yield self._rich(groups)
        for note in self.notes:
            yield Text(_shown(note), "dim")
        yield Text()

    def markdown(self) -> str:
        """Write it for a repository or a job summary."""
        heads = [self.corner]
        for group in self.groups:
            heads += [f"{group.name} {head}".strip() for head in group.heads]
        lines = [list(map(escaped, heads)), ["---"] * len(heads)]
        for label, *cells in self._cells(self.groups):
            lines.append([escaped(label) if any(cells) else f"**{escaped(label)}**", *cells])
        rows = [f"| {' | '.join(line)} |" for line in lines]
        notes = [f"* {escaped(note)}" for note in self.notes]
        return "\n".join([f"## {escaped(self.title)}", "", *rows, "", *notes, ""])

    def _cells(self, groups: Sequence[Columns]) -> Iterator[list[str]]:
        for index, label in enumerate(self.labels):
            parts = [group.rows[index] or ("",) * len(group.heads) for group in groups]
            yield [label, *(cell for part in parts for cell in part)]

    def _rich(self, groups: Sequence[Columns]) -> RichTable:
        table = RichTable(box=box.SIMPLE_HEAD, padding=(0, PADDING, 0, 0), pad_edge=False)
        titles = [("", self.corner), *(title for group in groups for title in group.titles)]
        # A line in which no column has anything is left out.
        used = [line for line in (0, 1) if any(title[line] for title in titles)]
        for index, title in enumerate(titles):
            text = Text("\n".join(title[line] for line in used))
            table.add_column(text, justify="right" if index else "left", no_wrap=True)
        for cells in self._cells(groups):
            heading = not any(cells[1:])
            table.add_row(*(Text(_shown(c)) for c in cells), style="bold" if heading else "")
        return table


def _fitting(groups: Sequence[Columns], room: int) -> Iterator[list[Columns]]:
    """The groups in portions that fit, at least one each."""
    portion: list[Columns] = []
    for group in groups:
        if portion and sum(each.width for each in [*portion, group]) > room:
            yield portion
            portion = []
        portion.append(group)
    yield portion


def _width(texts: Sequence[str]) -> int:
    return max(len(_shown(text)) for text in texts)


def _shown(text: str) -> str:
    return printable(text, 400)


def escaped(text: str) -> str:
    """Harmless in Markdown: names come from files."""
    safe = _shown(text).replace("&", "&amp;").replace("<", "&lt;")
    for character in "\\|`*_[]":
        safe = safe.replace(character, f"\\{character}")
    return safe

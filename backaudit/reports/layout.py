"""How a page for a terminal is laid out: a banner, and rows of a label and what it says."""

import io
import re
from pathlib import Path
from shlex import quote

from rich import box
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from backaudit.core.printable import printable

WIDTH = 100
LABELS = 14


def as_text(page: RenderableType) -> str:
    """A page as plain text, for a file."""
    text = io.StringIO()
    Console(file=text, width=WIDTH, color_system=None, force_terminal=False).print(page)
    return re.sub(r" +$", "", text.getvalue(), flags=re.MULTILINE)


def argument(path: Path) -> str:
    """A path as it can be pasted into a shell, whatever its name is."""
    return printable(quote(str(path)), 120)


def banner(title: str, colour: str, headline: str, why: str) -> RenderableType:
    """The first thing to read.

    Args:
        title: one or two words, shown in capitals.
        colour: of the title and the border.
        headline: one or two sentences.
        why: below it, in ordinary type.
    """
    return Panel(
        Text(headline, "bold").append(f"\n{why}" if why else "", "not bold"),
        title=Text(f" {title.upper()} ", f"bold reverse {colour}"),
        title_align="left",
        border_style=colour,
        box=box.ROUNDED,
    )


def rows(label: str | Text, *contents: RenderableType) -> RenderableType:
    """A label, and its contents below each other to the right of it."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=LABELS, no_wrap=True, style="bold")
    table.add_column(ratio=1, overflow="fold")
    for content in contents:
        # As Text, because rich takes markup for markup in a plain string.
        table.add_row(label, Text(content) if isinstance(content, str) else content)
        label = ""
    return table

"""Pieces of an HTML page, of text that a stranger may have written."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from backaudit.core.printable import printable

LONGEST = 300
LONGEST_NAME = 120

Cell = tuple[str, str]


def safe(value: object, limit: int = LONGEST) -> str:
    """Harmless in HTML, in an attribute as well, and without characters that steer the text."""
    return escape(printable(value, limit))


def listed(facts: Mapping[str, Iterable[str]]) -> str:
    """Labels, each with its lines; one without lines is left out."""
    return f"<dl>\n{''.join(_fact(name, list(said)) for name, said in facts.items())}</dl>"


def table(title: str, heads: Iterable[Cell], lines: Iterable[Iterable[Cell]]) -> str:
    """A table under a heading, or nothing without lines.

    Args:
        title: the heading.
        heads: text and class of each column's head.
        lines: text and class of each cell.
    """
    head = "".join(f'<th class="{kind}">{safe(name)}</th>' for name, kind in heads)
    body = "\n".join(f"<tr>{''.join(_cell(*cell) for cell in line)}</tr>" for line in lines)
    return f"<h2>{safe(title)}</h2>\n<table>\n<tr>{head}</tr>\n{body}\n</table>" if body else ""


def _fact(name: str, said: Sequence[str]) -> str:
    told = "".join(f"<dd>{safe(line)}</dd>" for line in said)
    return f"<dt>{safe(name)}</dt>{told}\n" if said else ""


def _cell(value: str, kind: str) -> str:
    return f'<td class="{kind}"><div>{safe(value, LONGEST_NAME)}</div></td>'

"""Text from files is the attacker's: make it harmless to print."""

import unicodedata
from collections.abc import Iterable, Iterator

HARMFUL = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
# Marks that are drawn upon the letter before them: many of them reach into the lines around.
COMBINING = {"Mn", "Me"}
# As many as a letter of Vietnamese, Thai, Hebrew or Devanagari takes, and a keycap emoji.
MOST_COMBINING = 3


def printable(text: object, limit: int = 80) -> str:
    """One line without control, bidirectional, invisible or unassigned characters.

    Of combining marks in a row, the first ``MOST_COMBINING`` are left.

    Args:
        text: anything; its ``str`` is used.
        limit: longer text loses its middle.
    """
    safe = "".join(_visible(str(text)[: 20 * limit]))
    if len(safe) <= limit:
        return safe
    head = limit // 2
    return f"{safe[:head]}...{safe[len(safe) - (limit - head - 3) :]}"


def paragraph(text: object) -> str:
    """Several lines made printable; later ones are indented, to pose as no message of ours."""
    lines = str(text).strip().splitlines()
    return "\n  ".join(printable(line, limit=2000) for line in lines)


def counted(count: int, noun: str) -> str:
    """``1 image`` or ``3 images``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _visible(text: Iterable[str]) -> Iterator[str]:
    in_a_row = 0
    for character in text:
        category = unicodedata.category(character)
        in_a_row = in_a_row + 1 if category in COMBINING else 0
        if character in "\n\t":
            yield " "
        elif category in HARMFUL or in_a_row > MOST_COMBINING:
            yield character.encode("unicode_escape").decode("ascii")
        else:
            yield character

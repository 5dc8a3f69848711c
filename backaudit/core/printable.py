"""Text from files is the attacker's: make it harmless to print."""

import unicodedata

HARMFUL = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}


def printable(text: object, limit: int = 80) -> str:
    """One line without control, bidirectional, invisible or unassigned characters.

    Args:
        text: anything; its ``str`` is used.
        limit: longer text loses its middle.
    """
    safe = "".join(_visible(character) for character in str(text)[: 20 * limit])
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


def _visible(character: str) -> str:
    if character in "\n\t":
        return " "
    if unicodedata.category(character) not in HARMFUL:
        return character
    return character.encode("unicode_escape").decode("ascii")

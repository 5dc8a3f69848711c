"""The sections of a method's docstring, which is its only documentation."""

import inspect
import re

HEADING = re.compile(r"^([A-Z][A-Za-z ]*):(?: +(.*))?$")


def sections(documented: type) -> dict[str, str]:
    """Split a docstring into heading -> text; what precedes the first heading is under ``""``."""
    found: dict[str, list[str]] = {"": []}
    current = found[""]
    for line in (inspect.getdoc(documented) or "").splitlines():
        heading = HEADING.match(line)
        if heading:
            current = found.setdefault(heading[1], [])
        current.append(heading[2] or "" if heading else line)
    return {name: inspect.cleandoc("\n".join(lines)) for name, lines in found.items()}


def unwrapped(text: str) -> str:
    """Drop the line ends inside each paragraph."""
    return re.sub(r"(?<!\n)\n(?!\n)\s*", " ", text)


def arguments(text: str) -> dict[str, str]:
    """Split the ``Args`` section into name -> meaning."""
    items = (unwrapped(item).partition(": ") for item in re.split(r"\n(?=\w)", text))
    return {name: meaning for name, colon, meaning in items if colon}

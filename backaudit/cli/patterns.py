"""Which names are meant by patterns such as ``*badnets*``."""

from collections.abc import Sequence
from fnmatch import fnmatchcase


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is of one of the patterns; every name if there are none."""
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)

"""Which version of the program this is, installed or run from a bare checkout."""

import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
UNKNOWN = "0+unknown"


@cache
def own_version() -> str:
    """The version that is installed; else the one that the checkout would be installed as."""
    try:
        return version("backaudit")
    except PackageNotFoundError:
        return _version_of(PROJECT)


def _version_of(project: Path) -> str:
    try:
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
    except (OSError, ValueError, KeyError):
        return UNKNOWN

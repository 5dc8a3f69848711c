"""One file of the corpus: how to write it and what must become of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.assembler import Call, Global

UNSAFE = "unsafe"
REFUSED = "refused"
LOADS = "loads"


@dataclass(frozen=True)
class Canary:
    """What a hostile file would do if it were run: create one empty file in a temporary folder.

    Args:
        path: of the file that must never appear.
    """

    path: Path

    @property
    def command(self) -> str:
        """A shell command that creates it."""
        return f"touch '{self.path}'"

    @property
    def source(self) -> str:
        """Python that creates it; an expression as well as a statement."""
        return f"open({str(self.path)!r}, 'w').close()"

    @property
    def call(self) -> Call:
        """A pickled call that creates it."""
        return Call(Global("os", "system"), (self.command,))


@dataclass(frozen=True)
class Case:
    """A file of the corpus.

    Args:
        name: unique; also the name of its file or folder.
        kind: heading under which it is counted.
        build: writes it into an empty folder, given a canary, and returns its path.
        expected: ``unsafe`` (a scan ends with exit code 1), ``refused`` (3) or ``loads``.
        advisory: who published it: an advisory, an issue or a paper; "" if nobody that is known.
        live: whether an ordinary unpickler, given the file, would create the canary.
    """

    name: str
    kind: str
    build: Callable[[Path, Canary], Path]
    expected: str
    advisory: str = ""
    live: bool = False


Content = Callable[[Canary], bytes]


def file_case(
    name: str, kind: str, content: Content | bytes, expected: str, *more: str, live: bool = False
) -> Case:
    """A case that is one file; ``more`` holds the advisory and the suffix, where they matter."""
    advisory, suffix = (*more, "", "")[:2]

    def build(folder: Path, canary: Canary) -> Path:
        path = folder / f"{name}{suffix or '.pt'}"
        path.write_bytes(content if isinstance(content, bytes) else content(canary))
        return path

    return Case(name, kind, build, expected, advisory, live)

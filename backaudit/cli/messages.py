"""What goes to standard error; standard output is for the report alone."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console

from backaudit.core.printable import paragraph


def standard_error() -> Console:
    """Make a console on standard error, for the progress bar."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def say(message: object) -> None:
    """Write one paragraph to standard error; if nobody reads it, go on."""
    with suppress(OSError):
        sys.stderr.write(f"{paragraph(message)}\n")
        sys.stderr.flush()


class _Printable(logging.Formatter):
    """Makes tracebacks harmless too: what libraries raise may quote a stranger's file."""

    def format(self, record: logging.LogRecord) -> str:
        return paragraph(super().format(record))


@contextmanager
def logged_to_standard_error(*, wanted: bool) -> Iterator[None]:
    """Inside the block, show every log message of the package, with tracebacks."""
    logger = logging.getLogger("backaudit")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(levelname)s %(name)s: %(message)s"))
    level = logger.level
    if wanted:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)

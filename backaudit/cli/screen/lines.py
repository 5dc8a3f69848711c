"""Where the lines of a screening go: to files that appear once they are whole, or out at once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from backaudit.cli.outputs import Output, write_standard_output, written_atomically
from backaudit.reports.screening.report import Screening
from backaudit.reports.screening.rows import LINES, Lines, Row, Writer

BUFFERED = 1 << 16


class StandardOutput:
    """Standard output as a stream; what is written is held until it is flushed, or is much."""

    def __init__(self) -> None:
        self._held: list[str] = []
        self._size = 0

    def write(self, text: str, /) -> int:
        """Write all of it.

        Raises:
            OutputError: if nobody reads it.
        """
        self._held.append(text)
        self._size += len(text)
        if self._size >= BUFFERED:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Hand on what is held.

        Raises:
            OutputError: if nobody reads it.
        """
        if self._held:
            text = "".join(self._held)
            self._held, self._size = [], 0
            write_standard_output(text)


@dataclass(frozen=True)
class Written:
    """The outputs that are written while the screening goes on.

    Args:
        lines: what writes them.
        flush: lets readers of standard output see what was written.
    """

    lines: Sequence[Lines]
    flush: Callable[[], None]

    def add(self, row: Row) -> None:
        """Write an image everywhere."""
        for each in self.lines:
            each.add(row)

    def finish(self, screening: Screening) -> None:
        """Write what is known once all images were screened."""
        for each in self.lines:
            each.finish(screening)
        self.flush()


@contextmanager
def lines_written(
    outputs: Sequence[Output], methods: Sequence[str], *, force: bool
) -> Iterator[Written]:
    """Open those outputs that are written line by line; files appear when the block ends well.

    Args:
        outputs: all that were requested.
        methods: the screeners.
        force: whether files may be overwritten.

    Raises:
        OutputError: if one cannot be written.
    """
    standard = StandardOutput()
    with ExitStack() as files:
        lines: list[Lines] = []
        for output in outputs:
            if output.format in LINES:
                stream: Writer = standard
                if output.file is not None:
                    stream = files.enter_context(written_atomically(output.file, force=force))
                lines.append(LINES[output.format](stream, methods))
                files.callback(lines[-1].close)
        yield Written(lines, standard.flush)

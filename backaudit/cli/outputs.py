"""Where reports go: checked before the work starts, written whole or not at all."""

import io
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console, RenderableType

from backaudit.cli.messages import say
from backaudit.core.errors import OutputError, SettingError
from backaudit.core.settings import did_you_mean
from backaudit.core.writing import create_beside, replacing, require_free

WIDEST = 110


@dataclass(frozen=True)
class Output:
    """One requested report.

    Args:
        format: a name in ``RENDERERS``.
        file: where to write it; None for standard output.
    """

    format: str
    file: Path | None = None


def parse_outputs(texts: Sequence[str], known: Collection[str]) -> tuple[Output, ...]:
    """Read ``FORMAT[=FILE]`` texts; without any, the terminal report goes to standard output.

    Raises:
        SettingError: if a format is unknown, or two reports share a destination.
    """
    outputs = tuple(_parse_output(text, known) for text in texts) or (Output("terminal"),)
    files = [output.file and output.file.resolve() for output in outputs]
    if files.count(None) > 1:
        raise SettingError(
            "two reports cannot share standard output; write one of them to a file: "
            f"{outputs[0].format}=FILE"
        )
    if len(set(files)) < len(files):
        raise SettingError("two reports are to be written to one file; give each its own")
    return outputs


def _parse_output(text: str, known: Collection[str]) -> Output:
    name, equals, file = text.partition("=")
    if name not in known:
        raise SettingError(f"there is no report format {name!r}. {did_you_mean(name, known)}")
    if equals and not file:
        raise SettingError(f"the report {text!r} names no file; use {name}=FILE, or {name} alone")
    return Output(name, Path(file) if equals and file != "-" else None)


def write_outputs(
    outputs: Sequence[Output],
    renderers: Mapping[str, Callable[[], str]],
    page: Callable[[], RenderableType],
    *,
    force: bool,
) -> None:
    """Write every requested report, those to files first.

    Args:
        outputs: what was requested.
        renderers: format -> the report as text.
        page: the report as a page, for ``terminal`` on standard output.
        force: whether files may be overwritten.

    Raises:
        OutputError: if one cannot be written.
    """
    for output in sorted(outputs, key=lambda output: output.file is None):
        if output.file is not None:
            write_atomically(output.file, renderers[output.format](), force=force)
        elif output.format == "terminal":
            print_page(page())
        else:
            write_standard_output(renderers[output.format]())


def announce(result: str, code: int, outputs: Sequence[Output]) -> None:
    """Tell a person what the files say, so that nothing ends in silence."""
    if all(output.file for output in outputs):
        say(f"{result} Exit code {int(code)}.")
    for output in outputs:
        if output.file:
            say(f"wrote {output.file}")


def check_outputs(files: Collection[Path], inputs: Iterable[Path], *, force: bool) -> None:
    """Make sure now that each file could be written later.

    Raises:
        SettingError: if two are one.
        OutputError: if one could not, exists without ``force``, or is one of the inputs.
    """
    if len({file.resolve() for file in files}) < len(files):
        raise SettingError("two outputs are to be written to one file; give each its own")
    read = {path.resolve() for path in inputs}
    for file in files:
        if file.resolve() in read:
            raise OutputError(f"{file} is read by this command; write to another file")
        require_free(file, force=force)
        create_beside(file.resolve()).unlink()


def write_atomically(file: Path, text: str, *, force: bool) -> None:
    """Write all of ``text`` or leave ``file`` as it was.

    Raises:
        OutputError: if it cannot be written, or exists without ``force``.
    """
    with written_atomically(file, force=force) as stream:
        stream.write(text)


@contextmanager
def written_atomically(file: Path, *, force: bool) -> Iterator[TextIO]:
    """A stream whose contents become ``file`` when the block ends well, and vanish otherwise.

    Raises:
        OutputError: if it cannot be written, or exists without ``force``.
    """
    require_free(file, force=force)
    with replacing(file) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8")
        yield text
        text.detach()


def write_standard_output(text: str) -> None:
    """Write ``text``, whatever the terminal's encoding, and flush it.

    Raises:
        OutputError: if nobody reads it, or the device is full.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except OSError as error:
        _forget_standard_output()
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def print_page(page: RenderableType) -> None:
    """Write a laid-out page to standard output, in the width and colours it has.

    Raises:
        OutputError: if nobody reads it, or the device is full.
    """
    real = Console()
    encoding = sys.stdout.encoding or "utf-8"
    # Not printed by rich: on a broken pipe it exits with 1, which means "suspicious" here.
    text = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace", newline="\n")
    console = Console(
        file=text,
        width=min(real.width, WIDEST),
        color_system=real.color_system,  # type: ignore[arg-type]
        force_terminal=real.is_terminal,
    )
    console.print(page)
    text.seek(0)
    write_standard_output(re.sub(r" +$", "", text.read(), flags=re.MULTILINE))


def _forget_standard_output() -> None:
    # Python flushes what is left at exit; failing there would replace the exit code.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())

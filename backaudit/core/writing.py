"""Files that are written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from backaudit.core.errors import OutputError


def write_whole(file: Path, data: bytes) -> None:
    """Write all of ``data``, or leave ``file`` as it was; processes that read it see no half.

    Raises:
        OutputError: if it cannot be written.
    """
    with replacing(file) as stream:
        stream.write(data)


@contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """A stream whose contents become ``file`` when the block ends well, and vanish otherwise.

    Args:
        file: a link keeps pointing to where it did: what it points to is replaced.

    Raises:
        OutputError: if it cannot be written.
    """
    target = file.resolve()
    temporary = create_beside(target)
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def create_beside(target: Path) -> Path:
    """Make an empty file with a name of its own in the folder of ``target``.

    Raises:
        OutputError: if the folder takes no files.
    """
    temporary = target.with_name(f".backaudit-{secrets.token_hex(8)}.tmp")
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written, because its folder does not take files: {error.strerror}"
        ) from error
    return temporary


def require_free(file: Path, *, force: bool) -> None:
    """Refuse a file that must not be written.

    Raises:
        OutputError: if it exists without ``force``, or is no regular file.
    """
    if not file.exists():
        return
    if not file.is_file():
        raise OutputError(f"{file} is not a regular file; name a file to write to")
    if not force:
        raise OutputError(f"{file} exists; remove it, name another file, or add --force")

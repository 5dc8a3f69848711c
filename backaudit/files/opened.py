"""A file, read once into memory of its own, which nobody can change while others look at it."""

import hashlib
import mmap
import os
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

from backaudit.core.errors import CheckpointError

GIB = 2**30
CHANGED = "was changed while it was read: wait until it is complete"
COPIED = 2**28
# There a copy in memory has a name, under which torch can map it.
NAMED_MEMORY = sys.platform == "linux"


class OpenedFile:
    """The bytes of one regular file, as they were when it was opened.

    A mapping of the file itself would cost no copy, but whoever cuts the file short meanwhile
    would end this process, and whoever rewrites it would show each reader something else.

    Args:
        path: the file.
        max_bytes: a larger file is refused.

    Raises:
        CheckpointError: if it is no regular file, cannot be read, or is too large.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.copy: str | None = None
        descriptor = _descriptor(path)
        try:
            status = os.fstat(descriptor)
            self.size = status.st_size
            self.identity = _identity(status)
            if self.size > max_bytes:
                raise CheckpointError(
                    f"is larger than the limit of {max_bytes / GIB:.3g} GiB: raise --max-gib"
                )
            self.data = memoryview(self._copied(descriptor) if self.size else b"")
            _require(_identity(os.fstat(descriptor)) == self.identity)
        finally:
            os.close(descriptor)
        self._digest: str | None = None
        self._worker: Thread | None = None

    def _copied(self, descriptor: int) -> mmap.mmap:
        """The file's bytes in memory; ``copy`` names them where the system can."""
        if not NAMED_MEMORY:
            memory = mmap.mmap(-1, self.size)
            with os.fdopen(os.dup(descriptor), "rb") as file:
                _require(file.readinto(memory) == self.size)
            return memory
        kept = os.memfd_create("checkpoint")
        weakref.finalize(self, os.close, kept)
        self.copy = f"/proc/self/fd/{kept}"
        _require(_transfer(descriptor, kept, self.size))
        return mmap.mmap(kept, self.size, access=mmap.ACCESS_READ)

    def start_digest(self) -> None:
        """Take the digest on another thread; hashing large blocks lets Python go on."""
        if self._worker is None and self._digest is None:
            self._worker = Thread(target=self._take_digest, daemon=True)
            self._worker.start()

    @property
    def sha256(self) -> str:
        """Digest of the bytes that were read, in hexadecimal."""
        if self._worker is not None:
            self._worker.join()
            self._worker = None
        if self._digest is None:
            self._take_digest()
        return str(self._digest)

    def _take_digest(self) -> None:
        self._digest = hashlib.sha256(self.data).hexdigest()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _reopened, (self.path, self.max_bytes, self.identity)


def _transfer(source: int, target: int, size: int) -> bool:
    """Copy a file's bytes within the system; whether there were as many."""
    done = 0
    while done < size:
        copied = os.sendfile(target, source, done, min(COPIED, size - done))
        if not copied:
            return False
        done += copied
    return True


def _reopened(path: Path, max_bytes: int, identity: tuple[int, ...]) -> OpenedFile:
    opened = OpenedFile(path, max_bytes)
    _require(opened.identity == identity)
    return opened


def _require(unchanged: bool) -> None:
    if not unchanged:
        raise CheckpointError(CHANGED)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _descriptor(path: Path) -> int:
    # A FIFO or a device must not block the open, nor be opened by the time it is looked at.
    if path.is_dir():
        raise CheckpointError("is a directory: give the checkpoint file inside it")
    if not path.exists():
        raise CheckpointError("does not exist: check the path")
    if not path.is_file():
        raise CheckpointError("is not a regular file: copy it into one")
    try:
        return os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
    except OSError as error:
        raise CheckpointError(
            f"cannot be read ({error.strerror}): check its permissions"
        ) from error

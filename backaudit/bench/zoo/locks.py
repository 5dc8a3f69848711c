"""Processes that share a zoo do not train the same model at the same time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER = ".locks"


@contextmanager
def locked(zoo: Path, name: str, *, wait: bool) -> Iterator[bool]:
    """Hold the right to train a model inside the block.

    The system ends it with the process, so that a killed training blocks nobody. Where the system
    has no such locks (Windows), every process gets it.

    Args:
        zoo: folder of the models.
        name: of the model.
        wait: whether to wait for another process that holds it.

    Yields:
        Whether it is held; False if another process holds it.
    """
    folder = zoo / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _lock(descriptor, wait=wait)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> bool:
    with suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
    return True

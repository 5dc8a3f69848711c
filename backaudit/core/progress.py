"""Progress that library code tells and only the command line shows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")
Observer = Callable[[str, int, int], None]

_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


@contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Inside the block, call ``observer(what, done, total)`` at every step of ``track``."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@contextmanager
def under(name: str) -> Iterator[None]:
    """Inside the block, tell of each step under ``name``; none stays open when the block ends."""
    observer = _observer.get()
    if observer is None:
        yield
        return
    unfinished: dict[str, int] = {}

    def renamed(what: str, done: int, total: int) -> None:
        unfinished[f"{name}: {what}"] = total
        observer(f"{name}: {what}", done, total)
        if done >= total:
            del unfinished[f"{name}: {what}"]

    try:
        with observed_by(renamed):
            yield
    finally:
        for what, total in unfinished.items():
            observer(what, total, total)


def track(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Yield ``items``, telling the observer, if there is one, how many are done."""
    observer = _observer.get()
    for done, item in enumerate(items):
        if observer is not None:
            observer(what, done, len(items))
        yield item
    if observer is not None:
        observer(what, len(items), len(items))

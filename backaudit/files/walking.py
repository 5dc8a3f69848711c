"""Everything that lies within what was saved."""

from collections.abc import Iterator

from backaudit.files.pickles.values import Inert
from backaudit.files.records import TensorRecord

CONTAINERS = (list, tuple, dict, set, frozenset, Inert, TensorRecord)
# Shared names make paths longer than the file that they are in.
LONGEST_NAME = 200
LONGEST_PATH = 1000


def walk(saved: object) -> Iterator[tuple[str, object]]:
    """Every container, stand-in and tensor within a value, each stand-in once.

    Yields:
        The keys that lead to it, dotted, and the value; outer ones first, in their order. Of a
        long path, the end.
    """
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [("", saved)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Inert):
            if id(value) in seen:
                continue
            seen.add(id(value))
        yield path, value
        inner = [(name, part) for name, part in _parts(value) if isinstance(part, CONTAINERS)]
        waiting.extend((_joined(path, name), part) for name, part in inner[::-1])


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}"[-LONGEST_PATH:] if path else name


def every_tensor(saved: object) -> Iterator[tuple[str, TensorRecord]]:
    """Every tensor within a value, with the keys that lead to it, dotted."""
    for path, value in walk(saved):
        if isinstance(value, TensorRecord):
            yield path, value


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from ((_named(name), part) for name, part in value.items())
        yield from (("key", name) for name in value if isinstance(name, CONTAINERS))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((str(index), part) for index, part in enumerate(value))
    elif isinstance(value, Inert):
        # What was set on an object goes by its own names, as attributes do.
        yield from (("state", value.state),) if isinstance(value.state, Inert) else ()
        for held in (value.state, value.items, value.elements, value.args, value.keywords):
            if not isinstance(held, Inert):
                yield from _parts(held)


def _named(key: object) -> str:
    # The text of a tuple could be as long as all texts it shares together.
    return "key" if isinstance(key, CONTAINERS) else str(key)[-LONGEST_NAME:]

"""JSON of strangers: plain values, no name twice."""

import json
from collections.abc import Iterable

from backaudit.core.printable import printable

DEEPEST = 64
TOO_DEEP = "it is nested too deeply"


def parsed_json(data: memoryview) -> object:
    """Parse JSON text.

    Args:
        data: UTF-8 bytes.

    Raises:
        ValueError: says briefly what is wrong with it.
    """
    try:
        parsed = json.loads(bytes(data).decode("utf-8"), object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    except UnicodeDecodeError as error:
        raise ValueError("it is no UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ValueError("it is no JSON text") from error
    _require_shallow(parsed)
    return parsed


def _require_shallow(parsed: object) -> None:
    """Refuse what could be read, but not walked by recursion."""
    level = [parsed]
    for _ in range(DEEPEST):
        level = [inner for value in level for inner in _within(value)]
        if not level:
            return
    raise ValueError(TOO_DEEP)


def _within(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table: dict[str, object] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"it has the name {printable(name)!r} twice")
        table[name] = value
    return table

"""What lies beside and around weights: keys that lead to them, and plain facts."""

import json
from collections.abc import Mapping
from typing import Any

from backaudit.core.printable import printable
from backaudit.files.pickles.modules import is_module
from backaudit.files.pickles.values import Inert
from backaudit.files.records import TensorRecord, out_of_bounds
from backaudit.loading.weights.dense import tensor_of

LONGEST = 10_000
SHORT = 64
MOST_UNPACKED = 4096

Keys = tuple[str, ...]


def follow(saved: Any, wrapper: Keys) -> Any:
    """What lies under the keys of a wrapper.

    Raises:
        LookupError: if nothing does, or ``TypeError``.
    """
    for step in wrapper:
        saved = _inside(saved, step)
    return saved


def _inside(saved: Any, step: str) -> Any:
    fields = fields_of(saved)
    if fields is None and step != "0":
        raise KeyError(step)
    return saved[0] if fields is None else fields[step]


def fields_of(value: object) -> Mapping[Any, Any] | None:
    """The named values within a dict or an object, of whatever class; None without any."""
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, Inert) or is_module(value):
        return None
    return value.items or (value.state if isinstance(value.state, Mapping) else None)


def metadata_beside(saved: Any, wrapper: Keys) -> dict[str, object]:
    """Plain values at every level down to the weights and among them, the innermost winning."""
    metadata: dict[str, object] = {}
    for step in wrapper:
        beside = fields_of(saved) or {}
        metadata |= _plain_values({name: value for name, value in beside.items() if name != step})
        saved = _inside(saved, step)
    among = {n: v for n, v in (fields_of(saved) or {}).items() if not isinstance(v, TensorRecord)}
    return metadata | _plain_values(among)


def _plain_values(beside: Mapping[Any, Any]) -> dict[str, object]:
    plain = {name: _plain(value) for name, value in beside.items() if isinstance(name, str)}
    return {printable(name): value for name, value in plain.items() if value is not None}


def _plain(value: object, depth: int = 0) -> Any:
    """A value made of strings, numbers, lists and dicts of them; None for anything else."""
    if isinstance(value, str | int | float | bool):
        return value
    if depth == 0 and isinstance(value, TensorRecord):
        return _plain_array(value)
    if depth == 0 and isinstance(value, Inert):
        value = fields_of(value)
    if depth > 1 or not isinstance(value, list | tuple | Mapping) or len(value) > LONGEST:
        return None
    if isinstance(value, Mapping):
        items = {name: _plain(item, depth + 1) for name, item in value.items()}
        named = {name: item for name, item in items.items() if isinstance(name, str | int)}
        return {name: item for name, item in named.items() if item is not None} or None
    listed = [_plain(item, depth + 1) for item in value]
    return None if None in listed else listed


def _plain_array(value: TensorRecord) -> Any:
    """The numbers of a scalar or a short vector, such as a mean; None for anything else."""
    small = value.dim() <= 1 and 0 < value.numel() <= SHORT
    # A short view of much that is packed would have all of it unpacked.
    packed = value.storage.deflated is not None and value.storage.nbytes > MOST_UNPACKED
    if not small or packed or value.trouble or out_of_bounds(value):
        return None
    return _plain(tensor_of(value).tolist(), depth=1)


def parsed_metadata(texts: Mapping[str, object]) -> dict[str, object]:
    """Metadata of a format whose values are strings: those that are JSON are parsed."""
    return {
        printable(name): _from_json(value) if isinstance(value, str) else value
        for name, value in texts.items()
    }


def _from_json(text: str) -> object:
    try:
        value = _plain(json.loads(text))
    except (ValueError, RecursionError):
        return text
    return text if value is None else value

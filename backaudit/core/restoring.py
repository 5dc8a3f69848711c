"""Plain JSON to a dataclass again, every value checked against the type of its field."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from backaudit.core.printable import printable

Record = TypeVar("Record")


def restored(kind: type[Record], given: object, name: str) -> Record:
    """Make a dataclass of what it was written down as.

    Args:
        kind: a dataclass whose fields are plain values, tuples, mappings, other such dataclasses,
            enums, literals or unions of these.
        given: parsed JSON.
        name: what the value is called in messages.

    Raises:
        ValueError: if a field is missing, unknown or ill-typed, or a number is not finite; says
            which.
    """
    return cast(Record, _restored(kind, given, name))


def _restored(kind: Any, given: object, name: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _one_of(get_args(kind), given, name)
    if origin is tuple:
        return _tuple(get_args(kind), given, name)
    if origin is not None and origin is not Literal and issubclass(origin, Mapping):
        return _mapping(given, name)
    if is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, given, name)
    if not _is_plain(kind, origin, given):
        raise ValueError(f"{name} is {printable(repr(given), 40)}, which it cannot be")
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(given)
    return float(cast(float, given)) if kind is float else given


def _is_plain(kind: Any, origin: Any, given: object) -> bool:
    if origin is Literal:
        return any(given == choice and type(given) is type(choice) for choice in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return any(given == choice.value for choice in kind)
    if kind is float:
        return type(given) in (int, float) and math.isfinite(cast(float, given))
    # Not isinstance: True is an instance of int.
    return type(given) is kind


def _one_of(kinds: tuple[Any, ...], given: object, name: str) -> Any:
    if given is None and NoneType in kinds:
        return None
    refusal = ValueError(f"{name} is missing")
    for kind in kinds:
        if kind is NoneType:
            continue
        try:
            return _restored(kind, given, name)
        except ValueError as error:
            refusal = error
    raise refusal


def _tuple(kinds: tuple[Any, ...], given: object, name: str) -> tuple[Any, ...]:
    if not isinstance(given, list | tuple):
        raise ValueError(f"{name} is no list")  # noqa: TRY004 - callers know one error
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(given)
    if len(kinds) != len(given):
        raise ValueError(f"{name} has {len(given)} entries instead of {len(kinds)}")
    return tuple(
        _restored(kind, each, f"{name}[{index}]")
        for index, (kind, each) in enumerate(zip(kinds, given, strict=True))
    )


def _mapping(given: object, name: str) -> dict[str, Any]:
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise ValueError(f"{name} is no table")
    if not _is_finite(given):
        raise ValueError(f"{name} holds a number that is not finite")
    return given


def _is_finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _record(kind: type, given: object, name: str) -> Any:
    if not isinstance(given, dict):
        raise ValueError(f"{name} is no table")  # noqa: TRY004 - callers know one error
    known = {field.name: field for field in fields(kind) if field.init}
    for key in given:
        if key not in known:
            raise ValueError(f"{name} has an unknown entry {printable(repr(key), 40)}")
    types = get_type_hints(kind)
    values = {}
    for key, field in known.items():
        if key in given:
            values[key] = _restored(types[key], given[key], f"{name}.{key}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{name} lacks {key}")
    return kind(**values)

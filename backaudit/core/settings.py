"""Text to the typed fields of a method; unknown names are refused with the nearest match."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from backaudit.core.errors import SettingError

Method = TypeVar("Method")

WORDS = {"true": True, "yes": True, "on": True, "1": True} | {
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Name the nearest known name, or else all of them, as a sentence."""
    choices = sorted(known)
    near = get_close_matches(name.lower(), choices, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(choices)}."


def split_names(text: str, option: str, without: str) -> tuple[str, ...]:
    """Names separated by commas, in their order, each once.

    Args:
        text: what the user wrote.
        option: that names them, for messages.
        without: what runs if the option is left out, for messages.

    Raises:
        SettingError: if there is none.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise SettingError(f"{option} names none; leave it out for {without}")
    return names


def split_settings(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Sort ``method.field=value`` texts by method and field.

    Raises:
        SettingError: if a text has another form, or sets a field twice.
    """
    sorted_texts: dict[str, dict[str, str]] = {}
    for text in texts:
        target, equals, value = text.partition("=")
        method, dot, field = target.strip().partition(".")
        if not (equals and dot and method and field):
            raise SettingError(f"setting {text!r} has no form METHOD.FIELD=VALUE, as in ban.seed=1")
        given = sorted_texts.setdefault(method, {})
        if field in given:
            raise SettingError(f"setting {method}.{field} is given twice; keep one of them")
        given[field] = value.strip()
    return sorted_texts


def configured(method: Method, name: str, given: Mapping[str, str]) -> Method:
    """Make a method that is set as another one, except for the fields given as text.

    Args:
        method: a dataclass instance.
        name: what users call the method, for messages.
        given: field name -> text.

    Raises:
        SettingError: if a field is unknown, or its text is not of its type or out of range.
    """
    known = {field.name for field in fields(method) if field.init}  # type: ignore[arg-type]
    for field in given:
        if field not in known:
            raise SettingError(f"{name} has no setting {field!r}. {did_you_mean(field, known)}")
    types = get_type_hints(type(method))
    values = {
        field: parse_value(f"{name}.{field}", text, types[field]) for field, text in given.items()
    }
    try:
        return replace(method, **values)  # type: ignore[type-var]
    except ValueError as error:
        raise SettingError(f"the settings of {name} do not go together: {error}") from error


def parse_value(name: str, text: str, kind: Any) -> Any:
    """Read ``text`` as a value of type ``kind``.

    Args:
        name: of the setting or option, for messages.
        text: what the user wrote.
        kind: bool, int, float, str, an enum, a literal, a tuple or a union of these.

    Raises:
        SettingError: if the text is no such value.
    """
    try:
        return _parse(text, kind)
    except (ValueError, KeyError) as error:
        raise SettingError(f"{name}: {text!r} is not {_describe(kind)}") from error


def _parse(text: str, kind: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _parse_union(text, get_args(kind))
    if origin is Literal:
        return {str(choice): choice for choice in get_args(kind)}[text]
    if origin is tuple:
        return _parse_tuple(text, get_args(kind))
    if kind is bool:
        return WORDS[text.lower()]
    if kind is float:
        return _finite(text)
    if kind in (int, str) or (isinstance(kind, type) and issubclass(kind, Enum)):
        return kind(text)
    raise ValueError(f"fields of type {kind} cannot be set from text")


def _parse_union(text: str, kinds: tuple[Any, ...]) -> Any:
    if NoneType in kinds and text.lower() in ("", "none"):
        return None
    for kind in kinds:
        if kind is NoneType:
            continue
        try:
            return _parse(text, kind)
        except (ValueError, KeyError):
            continue
    raise ValueError(text)


def _parse_tuple(text: str, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.strip("()[] ").split(",") if part.strip()]
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(parts)
    if not parts or len(parts) != len(kinds):
        raise ValueError(text)
    return tuple(_parse(part, kind) for part, kind in zip(parts, kinds, strict=True))


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _describe(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join("none" if part is NoneType else _describe(part) for part in parts)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in parts)
    if origin is tuple:
        return f"a list such as 1,2,3 of which each is {_describe(parts[0])}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(str(choice.value) for choice in kind)
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(kind, f"settable from text (it is {kind})")

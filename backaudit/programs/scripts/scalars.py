"""Operators of TorchScript on numbers, strings and lists.

A number may depend on the batch: then it is a node, and what is computed of it is recorded.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.programs.graph import Node, Recorder, examples, stored

LARGEST = 2**63
LONGEST = 100_000


def is_tensor(value: object) -> bool:
    """Whether a value is a node that stands for a tensor."""
    return isinstance(value, Node) and isinstance(examples(value)[0], Tensor)


def as_number(value: Any) -> Any:
    """A stored tensor of one number as that number; anything else as it is."""
    held = stored(value)
    return held.item() if held is not None and held.dim() == 0 else value


def compute(recorder: Recorder, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What an operator gives for plain values.

    Args:
        recorder: of the graph.
        name: of the operator, one of ``SCALARS``.
        args: none of which is a tensor.
        kwargs: likewise.
    """
    if name in LISTS:
        return LISTS[name](*args)
    result = recorder.call(SCALARS[name], *args, **kwargs)
    too_large = isinstance(result, int) and abs(result) >= LARGEST
    if too_large or (isinstance(result, list | tuple | str) and len(result) > LONGEST):
        raise CheckpointError("computes larger numbers or lists than any network needs")
    return result


def multiplied(one: Any, other: Any) -> Any:
    """A product, or a list repeated."""
    if isinstance(one, list):
        one, other = other, one
    if isinstance(other, list) and len(other) * max(0, one) > LONGEST:
        raise CheckpointError("makes a longer list than any network needs")
    return one * other


def power(base: float, exponent: float) -> float:
    """A power, as a float unless it is a small whole number."""
    whole = isinstance(base, int) and isinstance(exponent, int) and 0 <= exponent <= 62
    return base**exponent if whole and abs(base) < 2**16 else math.pow(base, exponent)


def divided(one: float, other: float, rounding_mode: str | None = None) -> float:
    """A quotient."""
    roundings: dict[str | None, Callable[[float], float]] = {
        None: float,
        "trunc": math.trunc,
        "floor": math.floor,
    }
    return roundings[rounding_mode](one / other)


def difference(one: float, other: float, alpha: float = 1) -> float:
    """``one`` less ``alpha`` times ``other``."""
    return one - alpha * other


def reverse_difference(one: float, other: float, alpha: float = 1) -> float:
    """``other`` less ``alpha`` times ``one``."""
    return other - alpha * one


def total(one: Any, other: Any, alpha: float = 1) -> Any:
    """A sum, or two lists or strings joined."""
    return one + (other if alpha == 1 else alpha * other)


def _sliced(values: Any, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    return values[start:end:step]


def _append(values: list[Any], value: object) -> list[Any]:
    values.append(value)
    if len(values) > LONGEST:
        raise CheckpointError("makes a longer list than any network needs")
    return values


def _extend(values: list[Any], more: Sequence[object]) -> None:
    if len(values) + len(more) > LONGEST:
        raise CheckpointError("makes a longer list than any network needs")
    values.extend(more)


def _insert(values: list[Any], at: int, value: object) -> None:
    values.insert(at, value)


def _popped(values: list[Any], at: int = -1) -> Any:
    return values.pop(at)


def _contains(values: Any, value: object) -> bool:
    return value in values


def _same(one: object, other: object) -> bool:
    return one is other


def _unlike(one: object, other: object) -> bool:
    return one is not other


def _copied(values: Sequence[Any]) -> list[Any]:
    return list(values)


def _keys(values: dict[Any, Any]) -> list[Any]:
    return list(values)


def _nothing(*_: object) -> None:
    """For warnings, which mean nothing here."""


def _text(*_: object) -> str:
    return ""


# Also of tensors, of which they ask nothing.
ALWAYS_PLAIN = frozenset(("__is__", "__isnot__", "warn", "format"))
# Never recorded: they act on lists, whose items may be nodes.
LISTS: dict[str, Callable[..., Any]] = {
    "__is__": _same,
    "__isnot__": _unlike,
    "__contains__": _contains,
    "__getitem__": operator.getitem,
    "append": _append,
    "extend": _extend,
    "insert": _insert,
    "pop": _popped,
    "len": len,
    "list": _copied,
    "keys": _keys,
    "slice": _sliced,
    "warn": _nothing,
    "format": _text,
}
SCALARS: dict[str, Callable[..., Any]] = {
    **LISTS,
    "add": total,
    "sub": difference,
    "rsub": reverse_difference,
    "true_divide": operator.truediv,
    "mul": multiplied,
    "div": divided,
    "floordiv": operator.floordiv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "neg": operator.neg,
    "abs": abs,
    "pow": power,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "ceil": math.ceil,
    "floor": math.floor,
    "round": round,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "__not__": operator.not_,
    "__and__": operator.and_,
    "__or__": operator.or_,
    "__xor__": operator.xor,
    "Int": int,
    "Float": float,
    "Bool": bool,
    "IntImplicit": int,
    "FloatImplicit": float,
}

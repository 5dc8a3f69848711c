"""Operators that make tensors of sizes and numbers, or of another type.

What they make lies where the image lies, whatever device a program was made on.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.programs.graph import Node, Recorder, examples

MOST_MADE = 2**28
# Numbers of the types that programs may use, as torch's files have them.
TYPES = {
    0: torch.uint8,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    7: torch.float64,
    11: torch.bool,
    15: torch.bfloat16,
}


def dtype_of(number: Any) -> torch.dtype | None:
    """Type of a number in a program; None stays None. Half precision becomes single precision.

    Raises:
        CheckpointError: for a type that no network needs.
    """
    if number is None:
        return None
    found = number if isinstance(number, torch.dtype) else TYPES.get(number)
    if found is None:
        raise CheckpointError(f"uses a type of number that is not supported ({number})")
    return torch.float32 if found in (torch.float16, torch.bfloat16) else found


def number_of(dtype: torch.dtype) -> int:
    """The number that programs know a type by."""
    return next(number for number, known in TYPES.items() if known is dtype)


def filled(image: Tensor, sizes: Sequence[int], value: float, dtype: torch.dtype | None) -> Tensor:
    """A tensor of one number."""
    return torch.full(tuple(sizes), value, dtype=dtype, device=image.device)


def counted(image: Tensor, numbers: Sequence[float], dtype: torch.dtype | None) -> Tensor:
    """Numbers from a first to before a last, by a step."""
    return torch.arange(*numbers, dtype=dtype, device=image.device)


def scalar(image: Tensor, value: float, dtype: torch.dtype | None) -> Tensor:
    """A tensor of no dimensions."""
    return torch.tensor(value, dtype=dtype, device=image.device)


def fill(recorder: Recorder, sizes: Sequence[Any], value: Any, dtype: Any = None) -> Any:
    """Record ``full``; sizes are bounded."""
    known = [each for each in sizes if isinstance(each, int)]
    if prod(known) > MOST_MADE:
        raise CheckpointError("makes a tensor larger than any network needs")
    kind = dtype_of(dtype)
    if kind is None and isinstance(value, float):
        kind = torch.float32
    return recorder.call(filled, recorder.input, list(sizes), value, kind)


def zeros(recorder: Recorder, size: Sequence[Any], dtype: Any = None, *_: Any, **__: Any) -> Any:
    """Record ``zeros`` and ``empty``."""
    return fill(recorder, size, 0.0, dtype)


def ones(recorder: Recorder, size: Sequence[Any], dtype: Any = None, *_: Any, **__: Any) -> Any:
    """Record ``ones``."""
    return fill(recorder, size, 1.0, dtype)


def full(
    recorder: Recorder, size: Sequence[Any], value: Any, dtype: Any = None, *_: Any, **__: Any
) -> Any:
    """Record ``full``."""
    return fill(recorder, size, value, dtype)


def new_full(
    recorder: Recorder,
    like: Node,
    size: Sequence[Any],
    value: Any,
    dtype: Any = None,
    *_: Any,
    **__: Any,
) -> Any:
    """Record ``new_full``."""
    return fill(recorder, size, value, dtype or examples(like)[0].dtype)


def new_zeros(
    recorder: Recorder, like: Node, size: Sequence[Any], dtype: Any = None, *_: Any, **__: Any
) -> Any:
    """Record ``new_zeros``."""
    return new_full(recorder, like, size, 0, dtype)


def new_ones(
    recorder: Recorder, like: Node, size: Sequence[Any], dtype: Any = None, *_: Any, **__: Any
) -> Any:
    """Record ``new_ones``."""
    return new_full(recorder, like, size, 1, dtype)


def full_like(
    recorder: Recorder, like: Node, value: Any, dtype: Any = None, *_: Any, **__: Any
) -> Any:
    """Record ``full_like``."""
    return recorder.call(torch.ops.aten.full_like, like, value, dtype=dtype_of(dtype))


def zeros_like(recorder: Recorder, like: Node, dtype: Any = None, *_: Any, **__: Any) -> Any:
    """Record ``zeros_like`` and ``empty_like``."""
    return full_like(recorder, like, 0, dtype)


def ones_like(recorder: Recorder, like: Node, dtype: Any = None, *_: Any, **__: Any) -> Any:
    """Record ``ones_like``."""
    return full_like(recorder, like, 1, dtype)


def arange(recorder: Recorder, *numbers: Any, dtype: Any = None, **_: Any) -> Any:
    """Record ``arange``; older programs give type, layout, device and pinning by position."""
    if len(numbers) > 4:
        dtype, numbers = numbers[-4], numbers[:-4]
    span = max((abs(each) for each in numbers if isinstance(each, int | float)), default=0)
    if span > MOST_MADE:
        raise CheckpointError("makes a tensor larger than any network needs")
    return recorder.call(counted, recorder.input, list(numbers), dtype_of(dtype))


def scalar_tensor(recorder: Recorder, value: Any, dtype: Any = None, *_: Any, **__: Any) -> Any:
    """Record ``scalar_tensor`` and ``tensor`` of a number."""
    return recorder.call(scalar, recorder.input, value, dtype_of(dtype))


def cast(recorder: Recorder, x: Node, *given: Any, **named: Any) -> Any:
    """Record ``to`` and its relations: the type is kept, device and layout are not.

    The type is the first number among the arguments, or that of another tensor.
    """
    others = [each for each in given if isinstance(each, Node)]
    numbers = [each for each in given if type(each) in (int, torch.dtype)]
    wanted = named.get("dtype", numbers[0] if numbers else None)
    if others:
        wanted = examples(others[0])[0].dtype
    kind = dtype_of(wanted)
    if kind is None or kind is examples(x)[0].dtype:
        return x
    return recorder.call(torch.ops.aten.to, x, kind)


def as_tensor(recorder: Recorder, value: Any, dtype: Any = None, *_: Any, **__: Any) -> Any:
    """Record ``as_tensor``, of a tensor or of a number."""
    if isinstance(value, Node) and isinstance(examples(value)[0], Tensor):
        return cast(recorder, value, dtype=dtype)
    return scalar_tensor(recorder, value, dtype)

"""TorchScript's questions about tensors and the machine, answered for a network being audited."""

from collections.abc import Callable
from typing import Any

import torch

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.programs import shapes
from backaudit.programs.graph import MisfitError, Node, Recorder, examples
from backaudit.programs.making import number_of

STRIDED = 0


def _raised(_: Recorder, message: object = "", *__: object) -> None:
    raise MisfitError(f"holds a program that refuses its input: {printable(message)}")


def _value(_: Recorder, value: Any, *__: object) -> Any:
    return value


def _dtype(_: Recorder, value: Node) -> int:
    return number_of(examples(value)[0].dtype)


def _floating(_: Recorder, value: Node) -> bool:
    dtype: torch.dtype = examples(value)[0].dtype
    return dtype.is_floating_point


def _least(recorder: Recorder, *values: Any) -> Any:
    return recorder.call(min, *values)


def _most(recorder: Recorder, *values: Any) -> Any:
    return recorder.call(max, *values)


def _counted(_: Recorder, count: int) -> list[int]:
    if not isinstance(count, int) or count > 100_000:
        raise CheckpointError("counts further than any network needs")
    return list(range(count))


def _no(*_: object) -> bool:
    return False


def _yes(*_: object) -> bool:
    return True


PRIMS: dict[str, Callable[..., Any]] = {
    "RaiseException": _raised,
    **dict.fromkeys(
        ("NumToTensor", "data", "unchecked_unwrap_optional", "ImplicitTensorToNum"), _value
    ),
    "dtype": _dtype,
    "device": lambda *_: "cpu",
    "type": lambda *_: "cpu",
    "layout": lambda *_: STRIDED,
    "shape": shapes.size,
    "requires_grad": _yes,
    **dict.fromkeys(
        ("is_nested", "is_cuda", "is_mkldnn", "is_quantized", "is_sparse", "is_meta", "is_mps"),
        _no,
    ),
    "min": _least,
    "max": _most,
    "rangelist": _counted,
}
# Among those that programs call ``torch.``.
QUESTIONS: dict[str, Callable[..., Any]] = {
    "is_grad_enabled": _yes,
    "is_autocast_enabled": _no,
    "is_autocast_cpu_enabled": _no,
    "is_floating_point": _floating,
    "is_scripting": _yes,
    "device": lambda *_: "cpu",
}

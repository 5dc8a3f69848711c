"""Operators that treat every number alike: arithmetic, comparisons, activations."""

import math
import operator
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn

from backaudit.programs.onnx.step import Step
from backaudit.programs.onnx.values import Value, is_float, shape

FLOAT32, FLOAT16, DOUBLE, BFLOAT16 = 1, 10, 11, 16
DTYPES = {
    **dict.fromkeys((FLOAT32, FLOAT16, DOUBLE, BFLOAT16), torch.float32),
    **{2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64},
    9: torch.bool,
}


def divide(a: Any, b: Any) -> Tensor:
    """Quotient; that of whole numbers is cut off towards zero."""
    if _whole(a) and _whole(b):
        return torch.div(a, b, rounding_mode="trunc")
    return torch.true_divide(a, b) if isinstance(a, Tensor) else torch.as_tensor(a / b)


def _whole(value: Any) -> bool:
    return not value.is_floating_point() if isinstance(value, Tensor) else isinstance(value, int)


def power(a: Any, b: Any) -> Tensor:
    """Power, of the type of its base."""
    result: Tensor = torch.pow(a, b)
    return result.to(a.dtype) if isinstance(a, Tensor) else result


def larger(a: Any, b: Any) -> Tensor:
    """The larger of each two numbers."""
    return torch.maximum(*_tensors(a, b))


def smaller(a: Any, b: Any) -> Tensor:
    """The smaller of each two numbers."""
    return torch.minimum(*_tensors(a, b))


def _tensors(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    like = a if isinstance(a, Tensor) else b
    one, other = (torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in (a, b))
    return one, other


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """One of two numbers, by a condition."""
    like = next((v for v in (a, b) if isinstance(v, Tensor)), None)
    dtype = None if like is None else like.dtype
    device = condition.device if isinstance(condition, Tensor) else None
    one, other = (torch.as_tensor(v, dtype=dtype, device=device) for v in (a, b))
    return torch.where(torch.as_tensor(condition, device=device), one, other)


def prelu(x: Tensor, slope: Any) -> Tensor:
    """A rectifier whose slope below zero broadcasts."""
    return torch.where(x < 0, x * slope, x)


def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    """A straight line between 0 and 1."""
    return torch.clamp(x * alpha + beta, 0, 1)


def selu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    """Scaled exponential linear unit with its own constants."""
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(x))


def clip(x: Tensor, low: float | None, high: float | None) -> Tensor:
    """Numbers brought between two bounds."""
    return x if low is None and high is None else torch.clamp(x, low, high)


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers of another type."""
    return x.to(dtype)


def _binary(function: Callable[..., Any], step: Step) -> Value:
    return step.call(function, step.given(0), step.given(1))


def _unary(function: Callable[..., Any], step: Step) -> Value:
    return step.call(function, step.x)


def _many(function: Callable[..., Any], step: Step) -> Value:
    values = [step.given(index) for index in range(len(step.inputs))]
    return reduce(partial(step.call, function), values)


def _mean(step: Step) -> Value:
    total = _many(operator.add, step)
    count = len(step.inputs)
    return step.call(divided, total, count=count)


def divided(x: Tensor, count: int) -> Tensor:
    """A sum made a mean."""
    return x / count


def _modulo(step: Step) -> Value:
    function = torch.fmod if step.attributes.get("fmod", 0) else torch.remainder
    return _binary(function, step)


def _clip(step: Step) -> Value:
    bounds = [step.numbers(1, "min"), step.numbers(2, "max")]
    low, high = (None if bound is None else bound[0] for bound in bounds)
    if (low, high) == (0, 6) and is_float(step.x):
        return step.layer("relu6", nn.ReLU6(), step.x)
    return step.call(clip, step.x, low=low, high=high)


def _cast(step: Step) -> Value:
    target = step.attributes.get("to")
    dtype = DTYPES.get(target) if isinstance(target, int) else None
    if dtype is None:
        raise step.refusal(f"to={target}")
    if target in (FLOAT16, BFLOAT16, DOUBLE):
        step.scene.notes["Calculations of the graph in other precisions are made in float32."] = (
            None
        )
    if dtype is torch.float32 and is_float(step.x):
        return step.x
    return step.call(cast, step.x, dtype=dtype)


def _cast_like(step: Step) -> Value:
    like, x = step.given(1), step.x
    if is_float(like):
        return x if is_float(x) else step.call(cast, x, dtype=torch.float32)
    raise step.refusal("casts to whole numbers")


def _activation(make: Callable[[Step], nn.Module], step: Step) -> Value:
    return step.layer(step.kind.lower(), make(step), step.x)


def _alpha(step: Step, default: float) -> float:
    return float(step.attributes.get("alpha", default))


def _gelu(step: Step) -> nn.Module:
    approximate = step.attributes.get("approximate", b"none").decode(errors="replace")
    if approximate not in ("none", "tanh"):
        raise step.refusal(f"approximate={approximate}")
    return nn.GELU(approximate)


def _hard_sigmoid(step: Step) -> Value:
    alpha, beta = _alpha(step, 0.2), float(step.attributes.get("beta", 0.5))
    if math.isclose(alpha, 1 / 6, rel_tol=1e-5) and beta == 0.5:
        return step.layer("hardsigmoid", nn.Hardsigmoid(), step.x)
    return step.call(hard_sigmoid, step.x, alpha=alpha, beta=beta)


def _selu(step: Step) -> Value:
    alpha = _alpha(step, 1.6732632423543772)
    gamma = float(step.attributes.get("gamma", 1.0507009873554805))
    return step.call(selu, step.x, alpha=alpha, gamma=gamma)


def _softmax(kind: type[nn.Softmax | nn.LogSoftmax], step: Step) -> Value:
    sizes = shape(step.x)
    old = step.version < 13
    axis = step.axis(1 if old else -1)
    if not old or axis == len(sizes) - 1:
        last = -1 if axis == len(sizes) - 1 else axis
        return step.layer(step.kind.lower(), kind(last), step.x)
    # Before opset 13 all dimensions from the axis on were one.
    flat = step.call(torch.flatten, step.x, start_dim=axis)
    return step.call(
        torch.unflatten, step.layer("softmax", kind(-1), flat), dim=-1, sizes=sizes[axis:]
    )


def _prelu(step: Step) -> Value:
    return step.call(prelu, step.x, step.given(1))


def _where(step: Step) -> Value:
    return step.call(where, step.x, step.given(1), step.given(2))


UNARY: dict[str, Callable[..., Any]] = {
    **{"Abs": torch.abs, "Ceil": torch.ceil, "Cos": torch.cos, "Erf": torch.erf, "Exp": torch.exp},
    **{"Floor": torch.floor, "Log": torch.log, "Neg": torch.neg, "Not": torch.logical_not},
    **{"Reciprocal": torch.reciprocal, "Round": torch.round, "Sign": torch.sign, "Sin": torch.sin},
    **{"Sqrt": torch.sqrt},
}
BINARY: dict[str, Callable[..., Any]] = {
    **{"Add": operator.add, "Sub": operator.sub, "Mul": operator.mul, "Div": divide, "Pow": power},
    **{"Equal": operator.eq, "Greater": operator.gt, "GreaterOrEqual": operator.ge},
    **{"Less": operator.lt, "LessOrEqual": operator.le, "And": operator.and_, "Or": operator.or_},
    "Xor": operator.xor,
}
MANY: dict[str, Callable[..., Any]] = {"Max": larger, "Min": smaller, "Sum": operator.add}
ACTIVATIONS: dict[str, Callable[[Step], nn.Module]] = {
    "Relu": lambda step: nn.ReLU(),
    "Sigmoid": lambda step: nn.Sigmoid(),
    "Tanh": lambda step: nn.Tanh(),
    "Softplus": lambda step: nn.Softplus(threshold=50),
    "Softsign": lambda step: nn.Softsign(),
    "Mish": lambda step: nn.Mish(),
    "HardSwish": lambda step: nn.Hardswish(),
    "Gelu": _gelu,
    "LeakyRelu": lambda step: nn.LeakyReLU(_alpha(step, 0.01)),
    "Elu": lambda step: nn.ELU(_alpha(step, 1.0)),
    "Celu": lambda step: nn.CELU(_alpha(step, 1.0)),
    "ThresholdedRelu": lambda step: nn.Threshold(_alpha(step, 1.0), 0.0),
}
ELEMENTWISE: dict[str, Callable[[Step], Value]] = {
    **{kind: partial(_unary, function) for kind, function in UNARY.items()},
    **{kind: partial(_binary, function) for kind, function in BINARY.items()},
    **{kind: partial(_many, function) for kind, function in MANY.items()},
    **{kind: partial(_activation, make) for kind, make in ACTIVATIONS.items()},
    **{"Mean": _mean, "Mod": _modulo, "Clip": _clip, "Cast": _cast, "CastLike": _cast_like},
    **{"HardSigmoid": _hard_sigmoid, "Selu": _selu, "PRelu": _prelu, "Where": _where},
    "Softmax": partial(_softmax, nn.Softmax),
    "LogSoftmax": partial(_softmax, nn.LogSoftmax),
}

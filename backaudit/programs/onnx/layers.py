"""Operators with weights, recorded as the layers they are."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.programs import layers
from backaudit.programs.graph import Node
from backaudit.programs.onnx.shapes import transposed
from backaudit.programs.onnx.step import OWN, Step
from backaudit.programs.onnx.values import Value, Weight, shape, shapes
from backaudit.programs.onnx.windows import padded, window


def _optional_node(step: Step, index: int) -> Node | None:
    value = step.optional(index)
    return None if value is None else step.scene.node(value)


def _node(step: Step, index: int) -> Node:
    return step.scene.node(step.given(index))


def _conv(step: Step) -> Value:
    kernel = shape(step.given(1))[2:]
    if tuple(step.attributes.get("kernel_shape", kernel)) != kernel:
        raise step.refusal("its kernel_shape is not that of its weight")
    seen = window(step, kernel)
    x = step.scene.node(step.x)
    padding = seen.before
    if seen.before != seen.after:
        x, padding = step.scene.node(padded(step, x, seen, 0.0)), (0,) * len(kernel)
    return layers.convolution(
        step.recorder,
        x,
        _node(step, 1),
        _optional_node(step, 2),
        stride=seen.strides,
        padding=padding,
        dilation=seen.dilations,
        groups=int(step.attributes.get("group", 1)),
    )


def _conv_transpose(step: Step) -> Value:
    step.only("auto_pad", b"NOTSET")
    if "output_shape" in step.attributes:
        raise step.refusal("output_shape is given")
    kernel = shape(step.given(1))[2:]
    seen = window(step, kernel)
    if seen.before != seen.after:
        raise step.refusal("its pads differ from side to side")
    return layers.convolution(
        step.recorder,
        step.scene.node(step.x),
        _node(step, 1),
        _optional_node(step, 2),
        stride=seen.strides,
        padding=seen.before,
        dilation=seen.dilations,
        groups=int(step.attributes.get("group", 1)),
        transposed=True,
        output_padding=tuple(step.attributes.get("output_padding", (0,) * len(kernel))),
    )


def normalised(x: Tensor, *values: Tensor, eps: float) -> Tensor:
    """Batch normalisation by calculated values: scale, bias and, unless its own, mean, variance."""
    over = [axis for axis in range(x.dim()) if axis != 1]
    own = (x.mean(over), x.var(over, correction=0)) if len(values) == 2 else ()
    each = (-1, *(1,) * (x.dim() - 2))
    scale, bias, mean, variance = (value.reshape(each) for value in (*values, *own))
    result: Tensor = scale * (x - mean) / torch.sqrt(variance + eps) + bias
    return result


def _batch_norm(step: Step) -> Value:
    step.only_first()
    own = bool(step.attributes.get("training_mode", 0))
    if own and shapes(step.x)[0] != shapes(step.x)[1]:
        raise step.refusal("it normalises by the batch's own statistics (training_mode=1)")
    given = [step.given(index) for index in range(1, 3 if own else 5)]
    if own or not all(isinstance(value, Weight) for value in given):
        # Standardised weights are written so.
        nodes = [step.scene.node(value) for value in given]
        eps = float(step.attributes.get("epsilon", 1e-5))
        return step.record(normalised, step.x, *nodes, eps=eps)
    statistics = (_statistic(step, 3), _statistic(step, 4))
    return layers.batch_norm(
        step.recorder,
        step.scene.node(step.x),
        (_node(step, 1), _node(step, 2)),
        statistics,
        eps=float(step.attributes.get("epsilon", 1e-5)),
        momentum=1 - float(step.attributes.get("momentum", 0.9)),
    )


def _statistic(step: Step, index: int) -> Node:
    value = step.given(index)
    if isinstance(value, Weight):
        return step.recorder.tensor(f"{value.name}{OWN}statistic", value.tensor, trainable=False)
    return step.scene.node(value)


def _instance_norm(step: Step) -> Value:
    eps = float(step.attributes.get("epsilon", 1e-5))
    affine = (_node(step, 1), _node(step, 2))
    return layers.group_norm(step.recorder, step.scene.node(step.x), shape(step.x)[1], affine, eps)


def group_norm_by_group(x: Tensor, scale: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """Group normalisation with one scale and bias for each group."""
    each = x.shape[1] // groups
    return F.group_norm(x, groups, scale.repeat_interleave(each), bias.repeat_interleave(each), eps)


def _group_norm(step: Step) -> Value:
    eps = float(step.attributes.get("epsilon", 1e-5))
    groups = int(step.attributes.get("num_groups", 0))
    if step.version < 21:
        return step.call(
            group_norm_by_group, step.x, step.given(1), step.given(2), groups=groups, eps=eps
        )
    x, affine = step.scene.node(step.x), (_node(step, 1), _node(step, 2))
    return layers.group_norm(step.recorder, x, groups, affine, eps)


def _layer_norm(step: Step) -> Value:
    step.only_first()
    sizes = shape(step.x)[step.axis(-1) :]
    affine = (_node(step, 1), _optional_node(step, 2))
    if shape(step.given(1)) != sizes:
        raise step.refusal("its scale has another shape than what is normalised")
    eps = float(step.attributes.get("epsilon", 1e-5))
    return layers.layer_norm(step.recorder, step.scene.node(step.x), sizes, affine, eps)


def _response_norm(step: Step) -> Value:
    told = step.attributes
    alpha, beta = float(told.get("alpha", 1e-4)), float(told.get("beta", 0.75))
    size, bias = int(told["size"]), float(told.get("bias", 1.0))
    if size % 2 == 0:
        raise step.refusal("its size is even")
    return step.layer("lrn", nn.LocalResponseNorm(size, alpha, beta, bias), step.x)


def gemm(a: Tensor, b: Tensor, c: Any, **scales: Any) -> Tensor:
    """A product of matrices and a sum, each scaled."""
    a = a.t() if scales["turn_a"] else a
    b = b.t() if scales["turn_b"] else b
    product: Tensor = scales["alpha"] * (a @ b)
    return product if c is None else product + scales["beta"] * c


def _gemm(step: Step) -> Value:
    told = step.attributes
    alpha, beta = float(told.get("alpha", 1.0)), float(told.get("beta", 1.0))
    turn_a, turn_b = bool(told.get("transA", 0)), bool(told.get("transB", 0))
    weight, bias = step.given(1), step.optional(2)
    plain = alpha == 1 and not turn_a and (bias is None or beta == 1)
    if plain and isinstance(weight, Weight) and len(shape(weight)) == 2:
        turned = weight if turn_b else transposed(step, weight, (1, 0))
        return linear(step, step.x, turned, bias)
    return step.call(
        gemm, step.x, weight, bias, alpha=alpha, beta=beta, turn_a=turn_a, turn_b=turn_b
    )


def _matmul(step: Step) -> Value:
    x, weight = step.x, step.given(1)
    if not isinstance(weight, Weight) or len(shape(weight)) != 2 or isinstance(x, Weight):
        return step.call(torch.matmul, x, weight)
    return linear(step, x, transposed(step, weight, (1, 0)), None)


def linear(step: Step, x: Value, weight: Value, bias: Value | None) -> Value:
    """Record a linear map; a bias of an unusual shape is added afterwards.

    Args:
        step: that makes it.
        x: (..., in).
        weight: (out, in).
        bias: (out,), anything that broadcasts, or None.
    """
    fits = isinstance(bias, Weight) and shape(bias) == shape(weight)[:1]
    held = step.scene.node(bias) if bias is not None and fits else None
    made = layers.linear(step.recorder, step.scene.node(x), step.scene.node(weight), held)
    return made if bias is None or fits else step.call(torch.add, made, bias)


def einsum(*tensors: Tensor, equation: str) -> Tensor:
    """A sum of products, as the equation says."""
    return torch.einsum(equation, *tensors)


def _einsum(step: Step) -> Value:
    equation = step.attributes["equation"].decode(errors="replace")
    values = [step.given(index) for index in range(len(step.inputs))]
    return step.call(einsum, *values, equation=equation)


LAYERS: dict[str, Callable[[Step], Value]] = {
    **{"Conv": _conv, "ConvTranspose": _conv_transpose, "BatchNormalization": _batch_norm},
    **{"InstanceNormalization": _instance_norm, "GroupNormalization": _group_norm},
    **{"LayerNormalization": _layer_norm, "LRN": _response_norm},
    **{"Gemm": _gemm, "MatMul": _matmul, "Einsum": _einsum},
}

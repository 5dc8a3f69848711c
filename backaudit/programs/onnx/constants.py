"""Operators that make numbers of nothing, or of shapes."""

from collections.abc import Callable, Mapping
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backaudit.programs.onnx.step import Step
from backaudit.programs.onnx.values import Known, Value, Weight


def known(tensor: Tensor) -> Known:
    """Numbers in which the batch has no part; floating-point ones as float32."""
    plain = tensor.float() if tensor.is_floating_point() else tensor
    return Known((plain, plain))


def stored(name: str, tensor: Tensor) -> Value:
    """An initialiser: a weight, unless it is a lone or a whole number."""
    if tensor.is_floating_point() and tensor.dim():
        return Weight(name, tensor.float())
    return known(tensor)


def from_proto(proto: Any) -> Tensor:
    """The tensor of an attribute."""
    from onnx import numpy_helper

    array = numpy_helper.to_array(proto)
    if array.dtype.kind not in "biuf":
        array = array.astype(np.float32)
    return torch.from_numpy(np.array(array, order="C"))


def constant(step: Step, weights: Mapping[str, Tensor]) -> Value:
    """A constant, whose numbers may lie among the weights.

    Args:
        step: the operator.
        weights: by name.
    """
    if step.outputs[0] in weights and "value" in step.attributes:
        return stored(step.outputs[0], weights[step.outputs[0]])
    found = {name: value for name, value in step.attributes.items() if name in MAKERS}
    if len(found) != 1 or len(step.attributes) != 1:
        raise step.refusal("it holds something else than numbers")
    name, value = found.popitem()
    return known(MAKERS[name](value))


MAKERS: dict[str, Callable[[Any], Tensor]] = {
    "value": from_proto,
    "value_float": lambda value: torch.tensor(value, dtype=torch.float32),
    "value_floats": lambda value: torch.tensor(list(value), dtype=torch.float32),
    "value_int": lambda value: torch.tensor(value, dtype=torch.int64),
    "value_ints": lambda value: torch.tensor(list(value), dtype=torch.int64),
}


def _constant_of_shape(step: Step) -> Value:
    sizes = step.x
    given = step.attributes.get("value")
    value = torch.zeros(()) if given is None else from_proto(given).reshape(())
    if value.is_floating_point():
        value = value.float()
    if not isinstance(sizes, Known):
        raise step.refusal("its shape depends on the image")
    for world in sizes.worlds:
        step.bounded(prod(world.tolist()))
    one, other = (value.expand(tuple(world.tolist())) for world in sizes.worlds)
    return Known((one, other))


def _range(step: Step) -> Value:
    values = [step.given(index) for index in range(3)]
    known_values = [value for value in values if isinstance(value, Known)]
    if len(known_values) != 3:
        raise step.refusal("its bounds depend on the image")
    results = []
    for start, limit, delta in zip(*(value.worlds for value in known_values), strict=True):
        step.bounded(ceil((limit.item() - start.item()) / delta.item()))
        results.append(torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype))
    return Known((results[0], results[1]))


CONSTANTS: dict[str, Callable[[Step], Value]] = {
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
}

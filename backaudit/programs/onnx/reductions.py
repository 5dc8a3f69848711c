"""Operators that sum, average or compare along dimensions."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from backaudit.programs.onnx.step import Step
from backaudit.programs.onnx.values import Value, shape

LABELS = "it makes class labels of logits: export the network without it"


def log_sum_exp(x: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    """Logarithm of the sum of exponentials."""
    return torch.logsumexp(x, dim, keepdim)


def log_sum(x: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    """Logarithm of the sum."""
    return torch.log(torch.sum(x, dim, keepdim))


def sum_of_squares(x: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    """Sum of squares."""
    return torch.sum(x * x, dim, keepdim)


def norm(x: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    """Euclidean norm."""
    return torch.sqrt(sum_of_squares(x, dim, keepdim))


def absolute_sum(x: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    """Sum of absolute values."""
    return torch.sum(torch.abs(x), dim, keepdim)


def product(x: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    """Product, one dimension after the other."""
    for axis in sorted(dim, reverse=True):
        x = torch.prod(x, axis, keepdim)
    return x


def _reduce(function: Callable[..., Tensor], step: Step) -> Value:
    rank = len(shape(step.x))
    given = step.numbers(1, "axes")
    if not given and step.attributes.get("noop_with_empty_axes", 0):
        return step.x
    axes = sorted({axis % rank for axis in given or range(rank)}) if rank else []
    keep = bool(step.attributes.get("keepdims", 1))
    return step.call(function, step.x, dim=axes, keepdim=keep) if rank else step.x


def _labels(step: Step) -> Value:
    raise step.refusal(LABELS)


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    **{"ReduceMean": torch.mean, "ReduceSum": torch.sum, "ReduceMax": torch.amax},
    **{"ReduceMin": torch.amin, "ReduceL1": absolute_sum, "ReduceL2": norm},
    **{"ReduceProd": product, "ReduceSumSquare": sum_of_squares},
    **{"ReduceLogSum": log_sum, "ReduceLogSumExp": log_sum_exp},
}
REDUCTIONS: dict[str, Callable[[Step], Value]] = {
    **{kind: partial(_reduce, function) for kind, function in FUNCTIONS.items()},
    **{"ArgMax": _labels, "ArgMin": _labels, "TopK": _labels},
}

"""Operators that ONNX's reference evaluator gets wrong, as their specification has them.

With onnx 1.23, batch normalisation before opset 14 mixes the batch's own statistics in, softmax
before opset 13 does not flatten, response normalisation counts images as channels, and pooling
by maxima gets sizes wrong that are rounded up or whose padding differs by side.
"""

from itertools import product
from typing import Any

import numpy as np
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

NO_PAD = "NOTSET"
FLAT_UNTIL = 13
Array = np.ndarray[Any, Any]


class BatchNormalization(OpRun):
    """Normalisation by stored statistics or, in training mode, by its own."""

    op_domain = ""

    def _run(
        self, x: Array, *stored: Array, epsilon: float = 1e-5, training_mode: int = 0, **_: object
    ) -> tuple[Array]:
        each = (-1, *(1,) * (x.ndim - 2))
        if training_mode:
            over = tuple(axis for axis in range(x.ndim) if axis != 1)
            stored = (*stored[:2], x.mean(over), x.var(over))
        scale, bias, mean, variance = (array.reshape(each) for array in stored)
        y = scale * (x - mean) / np.sqrt(variance + np.float32(epsilon)) + bias
        return (y.astype(x.dtype),)


class LRN(OpRun):
    """Response normalisation over neighbouring channels."""

    op_domain = ""

    def _run(
        self, x: Array, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int = 1
    ) -> tuple[Array]:
        squares = np.zeros_like(x)
        for channel in range(x.shape[1]):
            first, last = channel - (size - 1) // 2, channel + size // 2
            squares[:, channel] = (x[:, max(0, first) : last + 1] ** 2).sum(axis=1)
        y = x / (bias + alpha / size * squares) ** beta
        return (y.astype(x.dtype),)


class MaxPool(OpRun):
    """Maxima of windows."""

    op_domain = ""

    def _run(self, x: Array, **told: Any) -> tuple[Array]:
        kernel = told["kernel_shape"]
        ones = [1] * len(kernel)
        strides, dilations = (told.get(name) or ones for name in ("strides", "dilations"))
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        before, counts = self._places(x.shape[2:], spans, strides, told)
        far = [(c - 1) * s + span for c, s, span in zip(counts, strides, spans, strict=True)]
        room = [max(0, f - b - n) for f, b, n in zip(far, before, x.shape[2:], strict=True)]
        borders = [(0, 0), (0, 0), *zip(before, room, strict=True)]
        wide = np.pad(x, borders, constant_values=-np.inf)
        y = np.full((*x.shape[:2], *counts), -np.inf, dtype=x.dtype)
        for offsets in product(*(range(k) for k in kernel)):
            starts = [o * d for o, d in zip(offsets, dilations, strict=True)]
            places = [
                slice(first, first + (c - 1) * s + 1, s)
                for first, c, s in zip(starts, counts, strides, strict=True)
            ]
            y = np.maximum(y, wide[(slice(None), slice(None), *places)])
        return (y,)

    @staticmethod
    def _places(
        sizes: tuple[int, ...], spans: list[int], strides: list[int], told: dict[str, Any]
    ) -> tuple[list[int], list[int]]:
        """Padding before, and number of windows, of each dimension."""
        mode, rank = told.get("auto_pad") or NO_PAD, len(sizes)
        pads = list(told.get("pads") or [0] * (2 * rank)) if mode == NO_PAD else [0] * (2 * rank)
        before, counts = [], []
        for i, (size, span, stride) in enumerate(zip(sizes, spans, strides, strict=True)):
            if mode.startswith("SAME"):
                counts.append(-(-size // stride))
                total = max(0, (counts[-1] - 1) * stride + span - size)
                before.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
                continue
            left = size + pads[i] + pads[rank + i] - span
            count = (-(-left // stride) if told.get("ceil_mode") else left // stride) + 1
            # No window may start in the padding at the end.
            counts.append(count - ((count - 1) * stride >= size + pads[i]))
            before.append(pads[i])
        return before, counts


class Softmax(OpRun):
    """Softmax of rows, to which all dimensions from the axis on were flattened."""

    op_domain = ""

    def _run(self, x: Array, axis: int = 1) -> tuple[Array]:
        axis = axis % x.ndim
        rows = x.reshape(int(np.prod(x.shape[:axis])), -1)
        powers = np.exp(rows - rows.max(axis=1, keepdims=True))
        return ((powers / powers.sum(axis=1, keepdims=True)).reshape(x.shape).astype(x.dtype),)


class LogSoftmax(Softmax):
    """Its logarithm."""

    def _run(self, x: Array, axis: int = 1) -> tuple[Array]:
        return (np.log(super()._run(x, axis)[0]),)


def evaluator(model: Any) -> ReferenceEvaluator:
    """What runs a model as ONNX specifies.

    Args:
        model: ``onnx.ModelProto``; softmax operators are given the axis that they leave out.
    """
    always: list[Any] = [LRN, BatchNormalization, MaxPool]
    opset = next(e.version for e in model.opset_import if e.domain in ("", "ai.onnx"))
    if opset >= FLAT_UNTIL:
        return ReferenceEvaluator(model, new_ops=always)
    for node in model.graph.node:
        if node.op_type in ("Softmax", "LogSoftmax") and not node.attribute:
            node.attribute.append(helper.make_attribute("axis", 1))
    return ReferenceEvaluator(model, new_ops=[*always, Softmax, LogSoftmax])

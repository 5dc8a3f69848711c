"""Operators that pad images, or move numbers between channels and places."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from backaudit.programs.onnx.step import Step
from backaudit.programs.onnx.values import Value, shape

PAD_MODES = {b"constant": "constant", b"reflect": "reflect", b"edge": "replicate"}


def pad(x: Tensor, pads: Sequence[int], mode: str, value: float) -> Tensor:
    """A tensor with borders.

    Args:
        x: to be padded.
        pads: before and after each dimension, the last one first.
        mode: ``constant``, ``reflect`` or ``replicate``.
        value: of a constant border.
    """
    if mode == "constant":
        return F.pad(x, list(pads), value=value)
    return F.pad(x, list(pads[: 2 * (x.dim() - 2)]), mode=mode)


def _pad(step: Step) -> Value:
    mode = PAD_MODES.get(step.attributes.get("mode", b"constant"))
    if mode is None:
        raise step.refusal("its mode is none of constant, reflect and edge")
    given = step.numbers(1, "pads") or ()
    rank = len(shape(step.x))
    axes = [axis % rank for axis in step.numbers(3) or range(rank)]
    pairs = {axis: (given[i], given[i + len(axes)]) for i, axis in enumerate(axes)}
    flat = [size for axis in reversed(range(rank)) for size in pairs.get(axis, (0, 0))]
    if mode != "constant" and (rank < 3 or any(flat[2 * (rank - 2) :])):
        raise step.refusal("it reflects or repeats channels or images")
    fill = (step.numbers(2, "value") or (0.0,))[0]
    return step.call(pad, step.x, pads=flat, mode=mode, value=fill)


def depth_to_space(x: Tensor, block: int, columns_first: bool) -> Tensor:
    """Channels spread over blocks of the image."""
    n, c, h, w = x.shape
    split = (
        (n, c // block**2, block, block, h, w)
        if columns_first
        else (n, block, block, c // block**2, h, w)
    )
    order = (0, 1, 4, 2, 5, 3) if columns_first else (0, 3, 4, 1, 5, 2)
    return x.reshape(split).permute(order).reshape(n, -1, h * block, w * block)


def _depth_to_space(step: Step) -> Value:
    mode = step.attributes.get("mode", b"DCR")
    if mode not in (b"DCR", b"CRD"):
        raise step.refusal("its mode is neither DCR nor CRD")
    block = int(step.attributes["blocksize"])
    return step.call(depth_to_space, step.x, block=block, columns_first=mode == b"CRD")


def space_to_depth(x: Tensor, block: int) -> Tensor:
    """Blocks of the image made channels."""
    n, c, h, w = x.shape
    split = x.reshape(n, c, h // block, block, w // block, block)
    return split.permute(0, 3, 5, 1, 2, 4).reshape(n, c * block**2, h // block, w // block)


def _space_to_depth(step: Step) -> Value:
    return step.call(space_to_depth, step.x, block=int(step.attributes["blocksize"]))


BORDERS: dict[str, Callable[[Step], Value]] = {
    **{"Pad": _pad, "DepthToSpace": _depth_to_space, "SpaceToDepth": _space_to_depth},
}

"""Convolution and pooling windows: where they lie, and pooling itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.programs.onnx.step import Step
from backaudit.programs.onnx.values import Value, shape

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """A sliding window, in (height, width) or whatever the spatial dimensions are.

    Args:
        kernel: sizes.
        strides: steps.
        dilations: between neighbours.
        before: padding at the start of each dimension.
        after: padding at its end.
    """

    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    before: Sizes
    after: Sizes


def window(step: Step, kernel: Sequence[int]) -> Window:
    """The window of a convolution or a pooling operator."""
    ones = (1,) * len(kernel)
    strides = tuple(step.attributes.get("strides", ones))
    dilations = tuple(step.attributes.get("dilations", ones))
    before, after = _padding(step, tuple(kernel), strides, dilations)
    lengths = {len(sizes) for sizes in (kernel, strides, dilations, before, after)}
    if lengths != {len(shape(step.x)) - 2}:
        raise step.refusal("its settings are not as many as its spatial dimensions")
    if min((*kernel, *strides, *dilations, *before, *after, 1), default=0) < 0 or 0 in strides:
        raise step.refusal("it has negative settings")
    return Window(tuple(kernel), strides, dilations, before, after)


def _padding(step: Step, kernel: Sizes, strides: Sizes, dilations: Sizes) -> tuple[Sizes, Sizes]:
    automatic = step.attributes.get("auto_pad", b"NOTSET")
    if automatic == b"NOTSET":
        pads = tuple(step.attributes.get("pads", (0,) * (2 * len(kernel))))
        return pads[: len(pads) // 2], pads[len(pads) // 2 :]
    if automatic == b"VALID":
        return (0,) * len(kernel), (0,) * len(kernel)
    if automatic not in (b"SAME_UPPER", b"SAME_LOWER"):
        raise step.refusal(f"auto_pad={automatic.decode(errors='replace')}")
    settings = zip(shape(step.x)[2:], kernel, strides, dilations, strict=True)
    totals = [
        max(0, (-(-size // stride) - 1) * stride + (width - 1) * dilation + 1 - size)
        for size, width, stride, dilation in settings
    ]
    less, more = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    return (less, more) if automatic == b"SAME_UPPER" else (more, less)


def padded(step: Step, x: Value, seen: Window, value: float) -> Value:
    """The input with the window's padding around it."""
    pairs = zip(reversed(seen.before), reversed(seen.after), strict=True)
    pads = [pad for pair in pairs for pad in pair]
    return step.call(F.pad, x, pad=pads, value=value)


def pair(sizes: Sizes) -> tuple[int, int]:
    """Height and width."""
    height, width = sizes
    return height, width


def _max_pool(step: Step) -> Value:
    step.only_first()
    step.only("storage_order", 0)
    seen, ceil = _pool(step), bool(step.attributes.get("ceil_mode", 0))
    x, padding = step.x, seen.before
    if not _plain(seen):
        x, padding = padded(step, x, seen, -torch.inf), (0, 0)
    layer = nn.MaxPool2d(seen.kernel, seen.strides, padding, seen.dilations, ceil_mode=ceil)
    return step.layer("max_pool", layer, x)


def _pool(step: Step) -> Window:
    if len(shape(step.x)) != 4:
        raise step.refusal("it pools something else than images")
    return window(step, step.attributes.get("kernel_shape", ()))


def _plain(seen: Window) -> bool:
    """Whether torch's own layers can do the padding."""
    sides = zip(seen.before, seen.kernel, strict=True)
    return seen.before == seen.after and all(2 * pad <= size for pad, size in sides)


def average_inside(x: Tensor, kernel: list[int], stride: list[int], pad: list[int]) -> Tensor:
    """Means over windows of what lies inside the image, where padding differs by side."""
    inside = F.pad(torch.ones_like(x[:1, :1]), pad)
    total = F.avg_pool2d(F.pad(x, pad), kernel, stride)
    return total / F.avg_pool2d(inside, kernel, stride)


def _average_pool(step: Step) -> Value:
    seen, ceil = _pool(step), bool(step.attributes.get("ceil_mode", 0))
    include = bool(step.attributes.get("count_include_pad", 0))
    if set(seen.dilations) != {1}:
        raise step.refusal("its window is dilated")
    if _plain(seen):
        layer = nn.AvgPool2d(
            pair(seen.kernel), pair(seen.strides), pair(seen.before), ceil, include
        )
        return step.layer("avg_pool", layer, step.x)
    if ceil:
        raise step.refusal("its padding differs by side and it rounds sizes up")
    if include:
        layer = nn.AvgPool2d(pair(seen.kernel), pair(seen.strides))
        return step.layer("avg_pool", layer, padded(step, step.x, seen, 0.0))
    pads = [seen.before[1], seen.after[1], seen.before[0], seen.after[0]]
    kernel, stride = list(seen.kernel), list(seen.strides)
    return step.call(average_inside, step.x, kernel=kernel, stride=stride, pad=pads)


def _global(
    layer: Callable[[int], nn.Module], function: Callable[..., Tensor], step: Step
) -> Value:
    rank = len(shape(step.x))
    if rank == 4:
        return step.layer("global_pool", layer(1), step.x)
    return step.call(function, step.x, dim=list(range(2, rank)), keepdim=True)


POOLING: dict[str, Callable[[Step], Value]] = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": partial(_global, nn.AdaptiveAvgPool2d, torch.mean),
    "GlobalMaxPool": partial(_global, nn.AdaptiveMaxPool2d, torch.amax),
}

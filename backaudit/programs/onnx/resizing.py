"""Resizing: every mode is a choice of, or a weighted sum over, rows and then columns."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from backaudit.programs.onnx.step import Step
from backaudit.programs.onnx.values import Known, Value, shape

ROUNDING: dict[bytes, Callable[[float], int]] = {
    b"round_prefer_floor": lambda place: math.ceil(place - 0.5),
    b"round_prefer_ceil": lambda place: math.floor(place + 0.5),
    b"floor": math.floor,
    b"ceil": math.ceil,
}
TRANSFORMS: dict[bytes, Callable[[int, int, int, float], float]] = {
    b"half_pixel": lambda i, old, new, scale: (i + 0.5) / scale - 0.5,
    b"pytorch_half_pixel": lambda i, old, new, scale: (i + 0.5) / scale - 0.5 if new > 1 else 0.0,
    b"asymmetric": lambda i, old, new, scale: i / scale,
    b"align_corners": lambda i, old, new, scale: i * (old - 1) / (new - 1) if new > 1 else 0.0,
    b"half_pixel_symmetric": lambda i, old, new, scale: (
        old / 2 * (1 - new / (scale * old)) + (i + 0.5) / scale - 0.5
    ),
}


def chosen(x: Tensor, index: Tensor, dim: int) -> Tensor:
    """Rows or columns by their index."""
    return torch.index_select(x, dim, index)


def mixed(x: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Weighted sums of rows or columns; weights (new, old)."""
    return torch.movedim(torch.movedim(x, dim, -1) @ weights.t(), -1, dim)


def _resize(step: Step) -> Value:
    _check(step)
    value = step.x
    sizes = shape(value)
    for axis, (new, scale) in _goals(step, sizes).items():
        if new != sizes[axis] or scale != 1:
            value = _along(step, value, axis, (sizes[axis], new, scale))
    return value


def _check(step: Step) -> None:
    if step.version < 11:
        raise step.refusal("it resizes as opset 10 did: use opset 11 or newer")
    step.only("antialias", 0)
    step.only("exclude_outside", 0)
    step.only("keep_aspect_ratio_policy", b"stretch")
    if _transform(step) not in TRANSFORMS:
        raise step.refusal("its coordinate_transformation_mode is unusual")
    if step.attributes.get("nearest_mode", b"floor") not in ROUNDING:
        raise step.refusal("its nearest_mode is unknown")


def _transform(step: Step) -> bytes:
    mode: bytes = step.attributes.get("coordinate_transformation_mode", b"half_pixel")
    return mode


def _goals(step: Step, sizes: Sequence[int]) -> dict[int, tuple[int, float]]:
    """New size and scale, by axis."""
    scales, lengths = step.numbers(2), _lengths(step)
    axes = [axis % len(sizes) for axis in step.attributes.get("axes", range(len(sizes)))]
    given = lengths or scales
    if not given or len(given) != len(axes):
        raise step.refusal("its sizes or scales are not as many as its dimensions")
    if lengths:
        goals = {a: (n, n / sizes[a]) for a, n in zip(axes, lengths, strict=True) if a > 0}
    else:
        pairs = zip(axes, scales or (), strict=True)
        goals = {a: (math.floor(sizes[a] * s), float(s)) for a, s in pairs if a > 0}
        if any(s != 1 for a, s in zip(axes, scales or (), strict=True) if a == 0):
            raise step.refusal("it resizes the batch")
    step.bounded(math.prod(new for new, _ in goals.values()) * max(sizes))
    if any(new < 1 for new, _ in goals.values()):
        raise step.refusal("it makes images of no size")
    return goals


def _lengths(step: Step) -> tuple[int, ...] | None:
    """New sizes; that of the batch does not matter."""
    value = step.optional(3)
    if isinstance(value, Known):
        one, other = (world.tolist() for world in value.worlds)
        if one[1:] == other[1:]:
            return tuple(one)
    return step.numbers(3)


def _along(step: Step, value: Value, axis: int, change: tuple[int, int, float]) -> Value:
    old, new, scale = change
    transform = TRANSFORMS[_transform(step)]
    places = [transform(i, old, new, scale) for i in range(new)]
    mode = step.attributes.get("mode", b"nearest")
    if mode == b"nearest":
        rounded = ROUNDING[step.attributes.get("nearest_mode", b"round_prefer_floor")]
        index = torch.tensor([min(max(rounded(place), 0), old - 1) for place in places])
        return step.call(chosen, step.scene.node(value), Known((index, index)), dim=axis)
    if mode == b"linear":
        taps = [_linear(place) for place in places]
    elif mode == b"cubic":
        a = float(step.attributes.get("cubic_coeff_a", -0.75))
        taps = [_cubic(place, a) for place in places]
    else:
        raise step.refusal(f"mode={mode.decode(errors='replace')}")
    weights = _matrix(taps, old)
    return step.call(mixed, step.scene.node(value), Known((weights, weights)), dim=axis)


def _matrix(taps: Sequence[Sequence[tuple[int, float]]], old: int) -> Tensor:
    weights = torch.zeros(len(taps), old, dtype=torch.float64)
    for row, tap in enumerate(taps):
        for place, weight in tap:
            weights[row, min(max(place, 0), old - 1)] += weight
    return weights.float()


def _linear(place: float) -> list[tuple[int, float]]:
    left = math.floor(place)
    return [(left, 1 - (place - left)), (left + 1, place - left)]


def _cubic(place: float, a: float) -> list[tuple[int, float]]:
    left = math.floor(place)
    return [(left + k, _cubic_weight(abs(place - left - k), a)) for k in (-1, 0, 1, 2)]


def _cubic_weight(t: float, a: float) -> float:
    if t <= 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a if t < 2 else 0.0


RESIZING: dict[str, Callable[[Step], Value]] = {"Resize": _resize}

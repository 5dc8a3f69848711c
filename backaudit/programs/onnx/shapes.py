"""Operators that give the same numbers other shapes, or tell their shape."""

from collections.abc import Callable, Sequence
from math import prod

import torch

from backaudit.programs.onnx.step import Step
from backaudit.programs.onnx.values import (
    BatchError,
    Known,
    Shape,
    Value,
    Weight,
    reshaped_at_other_batch,
    shape,
    shapes,
)


def _reshape(step: Step) -> Value:
    target = step.given(1)
    if not isinstance(target, Known):
        raise step.refusal("the new shape depends on the image")
    zero = not step.attributes.get("allowzero", 0)
    before = shapes(step.x)
    one, other = (tuple(world.tolist()) for world in target.worlds)
    first = _resolved(step, before[0], one, keep_zero=zero)
    if step.scene.fixed:
        return step.reshape(step.x, (first, at_other_batch(step, first)))
    return step.reshape(step.x, (first, _resolved(step, before[1], other, keep_zero=zero)))


def at_other_batch(step: Step, after: Shape) -> Shape:
    """New sizes of the first input at the second batch size, from those at the first."""
    return reshaped_at_other_batch(shapes(step.x), after, step.scene.batches)


def _resolved(step: Step, before: Shape, target: Shape, *, keep_zero: bool) -> Shape:
    """The new sizes, with 0 (the old one) and -1 (whatever is left) made numbers."""
    if keep_zero and any(size == 0 for size in target[len(before) :]):
        raise step.refusal("its new shape keeps a size that the old one lacks")
    sizes = [before[i] if size == 0 and keep_zero else int(size) for i, size in enumerate(target)]
    if sizes.count(-1) > 1 or min(sizes, default=0) < -1:
        raise step.refusal("its new shape leaves several sizes open")
    if -1 in sizes:
        left = prod(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = prod(before) // left if left else 0
    if prod(sizes) != prod(before):
        raise BatchError(f"has a node {step.name!r} that reshapes to another number of elements")
    return tuple(sizes)


def _flatten(step: Step) -> Value:
    axis = step.axis(1)
    after = tuple((prod(sizes[:axis]), prod(sizes[axis:])) for sizes in shapes(step.x))
    if axis == 1 and not isinstance(step.x, Known | Weight):
        return step.call(torch.flatten, step.x, start_dim=1)
    return step.reshape(step.x, (after[0], after[1]))


def transposed(step: Step, value: Value, order: Sequence[int]) -> Value:
    """Dimensions in another order; the transpose of a transposed weight is that weight."""
    order = tuple(order)
    if not isinstance(value, Weight) or order != (1, 0):
        return step.rearranged(torch.permute, value, dims=order)
    if value.turned_from is not None:
        return value.turned_from
    turned = step.rearranged(torch.permute, value, dims=order)
    assert isinstance(turned, Weight)  # noqa: S101 - for the type checker
    return Weight(turned.name, turned.tensor, turned_from=value)


def _transpose(step: Step) -> Value:
    rank = len(shape(step.x))
    order = tuple(step.attributes.get("perm", reversed(range(rank))))
    if sorted(order) != list(range(rank)):
        raise step.refusal("its order of dimensions is none")
    return transposed(step, step.x, order)


def _squeeze(step: Step) -> Value:
    sizes = shapes(step.x)
    rank = len(sizes[0])
    axes = step.numbers(1, "axes")
    if axes is None:
        axes = tuple(i for i in range(rank) if sizes[0][i] == sizes[1][i] == 1)
    dropped = {axis % rank for axis in axes} if rank else set()
    if any(sizes[0][i] != 1 for i in dropped):
        raise BatchError(f"has a node {step.name!r} that drops a dimension of several elements")
    # A graph written for one image may drop its batch dimension; that must stay.
    kept = [i for i in range(rank) if i not in dropped or sizes[1][i] != 1]
    after = tuple(tuple(size[i] for i in kept) for size in sizes)
    return step.reshape(step.x, (after[0], after[1]))


def _unsqueeze(step: Step) -> Value:
    axes = step.numbers(1, "axes") or ()
    sizes = shapes(step.x)
    rank = len(sizes[0]) + len(axes)
    new = {axis % rank for axis in axes}
    if len(new) != len(axes):
        raise step.refusal("it adds one dimension twice")
    after = []
    for size in sizes:
        left = iter(size)
        after.append(tuple(1 if i in new else next(left) for i in range(rank)))
    return step.reshape(step.x, (after[0], after[1]))


def _shape(step: Step) -> Value:
    start, end = step.attributes.get("start", 0), step.attributes.get("end")
    one, other = (torch.tensor(sizes[start:end], dtype=torch.int64) for sizes in shapes(step.x))
    return Known((one, other))


def _size(step: Step) -> Value:
    one, other = (torch.tensor(prod(sizes)) for sizes in shapes(step.x))
    return Known((one, other))


def _identity(step: Step) -> Value:
    return step.x


def _dropout(step: Step) -> Value:
    step.only_first()
    return step.x


SHAPES: dict[str, Callable[[Step], Value]] = {
    **{"Reshape": _reshape, "Flatten": _flatten, "Transpose": _transpose, "Squeeze": _squeeze},
    **{"Unsqueeze": _unsqueeze, "Shape": _shape, "Size": _size, "Identity": _identity},
    "Dropout": _dropout,
}

"""Operators that take tensors apart and put them together."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from backaudit.programs.onnx.shapes import at_other_batch
from backaudit.programs.onnx.step import Step
from backaudit.programs.onnx.values import Known, Shape, Value, shape, shapes


def concatenate(*tensors: Tensor, dim: int) -> Tensor:
    """Tensors joined along a dimension."""
    return torch.cat(tensors, dim)


def _concat(step: Step) -> Value:
    values = [step.given(index) for index in range(len(step.inputs))]
    axis = step.axis(0)
    if all(isinstance(value, Known) for value in values):
        return step.call(concatenate, *values, dim=axis)
    wanted = _common(values, axis)
    fitted = [_expanded_to(step, value, wanted, axis) for value in values]
    return step.call(concatenate, *(step.scene.node(value) for value in fitted), dim=axis)


def _common(values: Sequence[Value], axis: int) -> tuple[Shape, Shape]:
    """The largest sizes among the tensors, at either batch size, but for one dimension."""
    one, other = (
        tuple(max(column) if i != axis else -1 for i, column in enumerate(zip(*sizes, strict=True)))
        for sizes in zip(*(shapes(value) for value in values), strict=True)
    )
    return one, other


def _expanded_to(step: Step, value: Value, wanted: tuple[Shape, Shape], axis: int) -> Value:
    """A tensor that was written for one image (a class token), repeated for the batch."""
    found = shapes(value)[1]
    short = [i for i, size in enumerate(found) if i != axis and size != wanted[1][i]]
    if not short or not step.scene.fixed:
        return value
    goal = [-1] * len(found)
    sizes = [
        step.scene.size((wanted[0][i], wanted[1][i])) if i in short else goal[i]
        for i in range(len(found))
    ]
    return step.record(torch.Tensor.expand, value, tuple(sizes))


def _expand(step: Step) -> Value:
    target = step.given(1)
    if not isinstance(target, Known):
        raise step.refusal("the new shape depends on the image")
    pair = []
    for sizes, world in zip(shapes(step.x), target.worlds, strict=True):
        pair.append(tuple(torch.broadcast_shapes(sizes, tuple(world.tolist()))))
    if isinstance(step.x, Known):
        one, other = (v.expand(s) for v, s in zip(step.x.worlds, pair, strict=True))
        return Known((one, other))
    if pair[0] == shape(step.x) and pair[1] == shapes(step.x)[1]:
        return step.x
    return step.record(torch.broadcast_to, step.x, step.scene.sizes((pair[0], pair[1])))


def gather(x: Tensor, index: Tensor, dim: int) -> Tensor:
    """Slices of a tensor by their index along a dimension."""
    places = torch.where(index < 0, index + x.shape[dim], index).reshape(-1).long()
    sizes = (*x.shape[:dim], *index.shape, *x.shape[dim + 1 :])
    return torch.index_select(x, dim, places).reshape(sizes)


def _gather(step: Step) -> Value:
    index = step.given(1)
    axis = step.axis(0)
    if isinstance(step.x, Known) and isinstance(index, Known):
        return step.call(gather, step.x, index, dim=axis)
    if not isinstance(index, Known) or not index.same:
        raise step.refusal("its indices depend on the image or on the batch")
    number = index.worlds[0]
    if step.scene.fixed and _everything_in_order(shape(step.x), number):
        # How an exporter writes a view of a flattened batch of one.
        after = tuple(number.shape)
        return step.reshape(step.x, (after, at_other_batch(step, after)))
    if not number.dim():
        return step.record(torch.select, step.x, axis, int(number))
    return step.call(gather, step.scene.node(step.x), index, dim=axis)


def _everything_in_order(sizes: Shape, index: Tensor) -> bool:
    flat = index.reshape(-1)
    return (len(flat),) == sizes and bool((flat == torch.arange(len(flat))).all())


def sliced(x: Tensor, dim: int, start: int, end: int, step: int) -> Tensor:
    """Every so many slices along a dimension; backwards with a negative step."""
    if step > 0:
        return x[(slice(None),) * dim + (slice(start, end, step),)]
    places = range(*slice(start, None if end < -x.shape[dim] else end, step).indices(x.shape[dim]))
    return torch.index_select(x, dim, torch.tensor(list(places), device=x.device))


def _slice(step: Step) -> Value:
    starts, ends = (_bounds(step, i, name) for i, name in ((1, "starts"), (2, "ends")))
    rank = len(shape(step.x))
    axes = step.numbers(3, "axes") or tuple(range(len(starts[0])))
    steps = step.numbers(4) or (1,) * len(starts[0])
    value = step.x
    for place, (axis, every) in enumerate(zip(axes, steps, strict=True)):
        if isinstance(value, Known):
            one, other = (
                sliced(v, axis % rank, s[place], e[place], every)
                for v, s, e in zip(value.worlds, starts, ends, strict=True)
            )
            value = Known((one, other))
            continue
        start, end = (step.scene.size((b[0][place], b[1][place])) for b in (starts, ends))
        if (start, every) == (0, 1) and _whole(shapes(value), axis % rank, ends, place):
            continue
        value = step.call(
            sliced, step.scene.node(value), dim=axis % rank, start=start, end=end, step=every
        )
    return value


def _whole(
    sizes: tuple[Shape, Shape], axis: int, ends: Sequence[Sequence[int]], place: int
) -> bool:
    return all(end[place] >= size[axis] for size, end in zip(sizes, ends, strict=True))


def _bounds(step: Step, index: int, attribute: str) -> tuple[list[int], list[int]]:
    if attribute in step.attributes:
        return (list(step.attributes[attribute]),) * 2
    value = step.given(index)
    if not isinstance(value, Known):
        raise step.refusal("its bounds depend on the image")
    one, other = (world.reshape(-1).tolist() for world in value.worlds)
    return one, other


def _split(step: Step) -> tuple[Value, ...]:
    axis = step.axis(0)
    sizes = shapes(step.x)
    count = len(step.outputs)
    lengths = step.numbers(1, "split")
    if lengths is None:
        each = -(-sizes[0][axis] // count)
        lengths = (*(each,) * (count - 1), sizes[0][axis] - each * (count - 1))
    if len(lengths) != count or sum(lengths) != sizes[0][axis] or sizes[0][axis] != sizes[1][axis]:
        raise step.refusal("its parts do not make the whole")
    starts = [sum(lengths[:place]) for place in range(count)]
    return tuple(
        step.call(torch.narrow, step.x, dim=axis, start=start, length=length)
        for start, length in zip(starts, lengths, strict=True)
    )


def _tile(step: Step) -> Value:
    return step.call(torch.tile, step.x, dims=step.numbers(1) or ())


PIECES: dict[str, Callable[[Step], Any]] = {
    **{"Concat": _concat, "Expand": _expand, "Gather": _gather, "Slice": _slice},
    **{"Split": _split, "Tile": _tile},
}

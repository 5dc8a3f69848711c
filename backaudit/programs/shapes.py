"""Operators on sizes: which may have one batch size written into them, and are freed of it."""

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from backaudit.programs.graph import BATCHES, MisfitError, Node, Recorder, batched, examples, shape

aten = torch.ops.aten


UNDOABLE = (
    "has a batch size written into it that cannot be undone: export it again for a batch of one, "
    "or with a batch dimension of any size"
)


class FixedBatchError(MisfitError):
    """A program is made for a batch of one in a way that only looking at one image undoes."""


def size(recorder: Recorder, x: Node, dim: int | None = None) -> Any:
    """All sizes, or one: constants but for those that depend on the batch."""
    if dim is not None:
        return recorder.call(size_of, x, dim)
    return [recorder.call(size_of, x, each) for each in range(len(shape(x)))]


def size_of(x: torch.Tensor, dim: int) -> int:
    """One size; a function, because a graph cannot call methods of numbers."""
    return x.size(dim)


def numel(recorder: Recorder, x: Node) -> Any:
    """Number of elements."""
    return recorder.call(count_of, x)


def count_of(x: torch.Tensor) -> int:
    """Number of elements; a function for the same reason."""
    return x.numel()


def reshape(recorder: Recorder, x: Node, sizes: Sequence[Any]) -> Any:
    """Record a change of shape; ``view`` too, which fails on other memory layouts."""
    sizes = list(sizes)
    if batched(x) and not any(isinstance(each, Node) for each in sizes):
        sizes = _freed(recorder, x, sizes)
    return recorder.call(aten.reshape, x, sizes)


def _freed(recorder: Recorder, x: Node, sizes: list[int]) -> list[Any]:
    """``sizes`` with the batch size of ``x`` in place of the one that was written into them."""
    at, factor = _batch_dim(x)
    if -1 in sizes:
        if at == 0 and len(sizes) > 1 and sizes[0] == factor * recorder.written:
            return [size(recorder, x, 0), *sizes[1:]]
        return sizes
    rest = (*shape(x)[:at], factor, *shape(x)[at + 1 :])
    written, remainder = divmod(prod(sizes), prod(rest))
    if remainder or not written:
        return sizes
    after = prod(rest[at + 1 :])
    # In a dimension of several numbers for each image, the image may change slowest or fastest.
    places = [_place(sizes, step, written) for step in dict.fromkeys((factor * after, after))]
    place = next((each for each in places if each is not None), None)
    if place is None:
        raise FixedBatchError(UNDOABLE)
    batch = recorder.call(operator.floordiv, size(recorder, x, at), factor)
    others = sizes[place] // written
    sizes_now: list[Any] = list(sizes)
    sizes_now[place] = recorder.call(operator.mul, batch, others) if others > 1 else batch
    return sizes_now


def _batch_dim(x: Node) -> tuple[int, int]:
    """Which dimension depends on the batch, and how many it has for each image."""
    one, other = (tuple(example.shape) for example in examples(x))
    places = [index for index, pair in enumerate(zip(one, other, strict=True)) if len({*pair}) > 1]
    factor, remainder = divmod(one[places[0]], BATCHES[0])
    if len(places) > 1 or remainder or factor * BATCHES[1] != other[places[0]]:
        raise FixedBatchError(UNDOABLE)
    return places[0], factor


def _place(sizes: list[int], step: int, written: int) -> int | None:
    """In which new dimension the images lie, ``step`` numbers apart; None if that cannot be told.

    Args:
        sizes: with a batch size of ``written`` in one of them.
        step: from one image to the next, in memory.
        written: batch size.
    """
    steps = [prod(sizes[index + 1 :]) for index in range(len(sizes))]
    spans = list(zip(range(len(sizes)), sizes, steps, strict=True))
    exact = [index for index, count, each in spans if each == step and count == written]
    within = [
        index
        for index, count, each in spans
        if each <= step and step * written <= each * count and step % each == 0
    ]
    if exact:
        return exact[0]
    return within[0] if len(within) == 1 else None


def expand(recorder: Recorder, x: Node, sizes: Sequence[Any], *, implicit: bool = False) -> Any:
    """Record an expansion; a written batch size of what already depends on it is kept as it is."""
    offset = len(sizes) - len(shape(x))
    known = [
        -1 if index >= offset and _same(x, index - offset) and isinstance(each, int) else each
        for index, each in enumerate(sizes)
    ]
    return recorder.call(aten.expand, x, known)


def _same(x: Node, dim: int) -> bool:
    one, other = (example.shape[dim] for example in examples(x))
    return bool(one != other)


def expand_as(recorder: Recorder, x: Node, other: Node) -> Any:
    """Record an expansion to the sizes of another."""
    return recorder.call(aten.expand_as, x, other)


def reshape_as(recorder: Recorder, x: Node, other: Node) -> Any:
    """Record a change to the shape of another."""
    return recorder.call(aten.reshape, x, size(recorder, other))


def cat(recorder: Recorder, tensors: Sequence[Node], dim: int = 0) -> Any:
    """Record a concatenation; parts made for one batch size are repeated for the batch."""
    lead = next((part for part in tensors if batched(part) and _same(part, 0)), None)
    if lead is None or dim % len(shape(lead)) == 0:
        return recorder.call(aten.cat, list(tensors), dim)
    parts = [_for_batch(recorder, part, lead) for part in tensors]
    return recorder.call(aten.cat, parts, dim)


def _for_batch(recorder: Recorder, part: Node, lead: Node) -> Node:
    if batched(part) or len(shape(part)) != len(shape(lead)):
        return part
    if shape(part)[0] != 1:
        part = recorder.call(aten.narrow, part, 0, 0, 1)
    sizes = [size(recorder, lead, 0), *[-1] * (len(shape(part)) - 1)]
    node: Node = recorder.call(aten.expand, part, sizes)
    return node

"""What the names in an ONNX graph stand for while its network is recorded.

Everything is followed for two batch sizes at once: a number that is the same for both has nothing
to do with the batch, one that differs is a multiple of it.
"""

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.programs.graph import Node, examples

Shape: TypeAlias = tuple[int, ...]


class UnsupportedError(CheckpointError):
    """The graph has something that is not supported, however it is read."""


class BatchError(CheckpointError):
    """Read in this way, the graph does not take batches of any size."""


@dataclass(frozen=True, eq=False)
class Known:
    """Numbers that no image has a part in.

    Args:
        worlds: the numbers at either batch size.
    """

    worlds: tuple[Tensor, Tensor]

    @property
    def same(self) -> bool:
        """Whether the batch size has no part in them."""
        one, other = self.worlds
        return one.shape == other.shape and bool((one == other).all())


@dataclass(frozen=True, eq=False)
class Weight:
    """A stored floating-point tensor, trainable wherever it is used.

    Args:
        name: of the tensor, and of how it was rearranged.
        tensor: its values.
        turned_from: the weight it is the transpose of, if it is one.
    """

    name: str
    tensor: Tensor
    turned_from: "Weight | None" = None


Value: TypeAlias = Known | Weight | Node


def shapes(value: Value) -> tuple[Shape, Shape]:
    """Sizes at either batch size."""
    if isinstance(value, Weight):
        return (tuple(value.tensor.shape),) * 2
    one, other = value.worlds if isinstance(value, Known) else examples(value)
    return tuple(one.shape), tuple(other.shape)


def shape(value: Value) -> Shape:
    """Sizes at the first batch size."""
    return shapes(value)[0]


def is_float(value: Value) -> bool:
    """Whether it holds floating-point numbers."""
    if isinstance(value, Weight):
        return True
    tensors = value.worlds if isinstance(value, Known) else examples(value)
    return bool(tensors[0].is_floating_point())


def reshaped_at_other_batch(
    before: tuple[Shape, Shape], after: Shape, batches: tuple[int, int]
) -> Shape:
    """Which of the new sizes grows with the batch, where a graph was written for one batch size.

    Args:
        before: sizes at either batch size.
        after: new sizes at the first one.
        batches: the two batch sizes.

    Returns:
        New sizes at the second batch size; a guess where several would do, to be checked by what
        the network makes of them.
    """
    axis = next((i for i, (a, b) in enumerate(zip(*before, strict=True)) if a != b), None)
    if axis is None:
        return after
    grown = list(after)
    place = axis if after == before[0] else _place(before[0], axis, after, batches[0])
    grown[place] = grown[place] * batches[1] // batches[0]
    return tuple(grown)


def _place(before: Shape, axis: int, after: Shape, batch: int) -> int:
    """The dimension of ``after`` that holds the batch, which ``before`` has in ``axis``."""
    leading = prod(before[:axis])
    for place, size in enumerate(after):
        if size == batch and leading <= prod(after[:place]) <= leading * before[axis]:
            return place
    place = next((i for i in range(len(after)) if prod(after[: i + 1]) > leading), 0)
    # On the border of two dimensions that others were merged into, it is the first that grows:
    # the last one holds features.
    merged = len(after) < len(before) and prod(after[:place]) == leading
    return place - 1 if merged and place else place

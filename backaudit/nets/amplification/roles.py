"""Which values inside a traced network hold one entry an image, found by trying two batch sizes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import map_aggregate

# What the batch has to do with a value: the dimension that it lies along in a tensor, COUNT for a
# number that is a multiple of the batch size, None if nothing, a tuple of roles for a tuple or a
# list, and UNKNOWN if it has some other part in it.
Role = int | str | None | tuple[Any, ...]
COUNT = "count"
UNKNOWN = "unknown"


def roles(traced: fx.GraphModule, images: Tensor) -> dict[fx.Node, Role]:
    """The role of every value of a traced network.

    Args:
        traced: images -> logits.
        images: (N, C, H, W), N at least 3; all of them and all but one are tried.
    """
    batches = (images, images[:-1])
    sizes = [len(batch) for batch in batches]
    more, fewer = (_shapes(traced, batch) for batch in batches)
    return {node: _role(more[node], fewer[node], sizes) for node in more}


def _shapes(traced: fx.GraphModule, images: Tensor) -> dict[fx.Node, Any]:
    """The value of every node, tensors without their data."""
    interpreter = _Shapes(traced)
    # What a network does to its input in place must not reach the caller's images.
    interpreter.run(images.clone())
    return interpreter.values


class _Shapes(fx.Interpreter):
    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.values[n] = map_aggregate(value, _without_data)
        return value


def _without_data(value: Any) -> Any:
    return torch.empty_like(value, device="meta") if isinstance(value, Tensor) else value


def _role(more: Any, fewer: Any, sizes: Sequence[int]) -> Role:
    if isinstance(more, Tensor) and isinstance(fewer, Tensor):
        return _dimension(more.shape, fewer.shape, sizes)
    if isinstance(more, tuple | list) and isinstance(fewer, tuple | list):
        if len(more) != len(fewer):
            return UNKNOWN
        parts = tuple(_role(*pair, sizes) for pair in zip(more, fewer, strict=True))
        return parts if any(part is not None for part in parts) else None
    if type(more) is int and type(fewer) is int and more != fewer:
        return COUNT if _is_multiple(more, fewer, sizes) else UNKNOWN
    return None if type(more) is type(fewer) and _equal(more, fewer) else UNKNOWN


def _dimension(more: torch.Size, fewer: torch.Size, sizes: Sequence[int]) -> Role:
    if len(more) != len(fewer):
        return UNKNOWN
    differing = [dim for dim in range(len(more)) if more[dim] != fewer[dim]]
    if not differing:
        return None
    dim = differing[0]
    only = len(differing) == 1 and _is_multiple(more[dim], fewer[dim], sizes)
    return dim if only else UNKNOWN


def _is_multiple(more: int, fewer: int, sizes: Sequence[int]) -> bool:
    return more % sizes[0] == 0 and more // sizes[0] * sizes[1] == fewer


def _equal(one: Any, other: Any) -> bool:
    return bool(one is other or one == other)

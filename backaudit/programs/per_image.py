"""Recording a program that is made for one image, so that it runs on each image of a batch.

Where one batch size is written into a program, not every place of it can be told from other ones:
a size of 12 may be 12 parts of one image or 1 part of 12. So the batch is a dimension of its own
that the program never sees, in front of all those it knows.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from backaudit.core.errors import CheckpointError
from backaudit.programs.graph import BATCHES, Node, Recorder, examples

ATTENTION = torch.ops.aten.scaled_dot_product_attention
ATTENDED: tuple[Any, Any] = ((0, 0, 0), {})


class PerImage(nn.Module):
    """A function of tensors, called for each image of a batch alone, all at once.

    Args:
        function: to call.
        dims: like its arguments: 0 for what differs between images, None for all else.
    """

    def __init__(self, function: Callable[..., Any], dims: tuple[Any, Any]) -> None:
        super().__init__()
        self.function = function
        self.dims = dims

    def forward(self, args: Any, kwargs: Any) -> Any:
        """Results, (N, ...) each."""
        return torch.vmap(self._called, in_dims=self.dims)(args, kwargs)

    def _called(self, args: Any, kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


class SingleRecorder(Recorder):
    """Records what a program does to a batch of one, and gives it a batch of any size."""

    def image(
        self,
        channels: int,
        size: tuple[int, int],
        dtype: torch.dtype,
        batches: tuple[int, int] = BATCHES,
        other: tuple[int, int] | None = None,
    ) -> Node:
        """The input as the program sees it, (1, channels, *size)."""
        super().image(channels, size, dtype, batches, other)
        node = self._graph.call_function(torch.unsqueeze, (self.input, 1))
        one = torch.empty((1, channels, *size), dtype=dtype, device="meta")
        return self._lifted(self._noted(node, (one,) * len(BATCHES)))

    def finish(self, output: Node) -> fx.GraphModule:
        """The network, with the batch in place of the program's own batch of one."""
        output = self._latest(output)
        if not self._is_lifted(output) or examples(output)[0].shape[:1] != (1,):
            raise CheckpointError("returns what does not depend on the image, or not one row")
        return super().finish(self._graph.call_function(torch.flatten, (output, 0, 1)))

    def _record(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Node:
        dims = _dims((args, kwargs), self._is_lifted)
        if not _any(dims):
            return super()._record(function, args, kwargs)
        if function is ATTENTION and dims == ATTENDED and examples(args[0])[0].shape[0] == 1:
            return self._attended(args)
        path = self._paths.layer("per_image")
        self._layers[path] = PerImage(function, dims)
        return self._lifted(self._graph.call_module(path, (args, kwargs)))

    def _attended(self, args: tuple[Node, ...]) -> Node:
        """Attention of (1, heads, length, features) each: the fast kernels want four dimensions."""
        flat = tuple(self._graph.call_function(torch.flatten, (each, 0, 1)) for each in args)
        node = super()._record(ATTENTION, flat, {})
        return self._lifted(self._graph.call_function(torch.unsqueeze, (node, 1)))

    def _record_layer(self, path: str, inputs: tuple[Node, ...]) -> Node:
        (x,) = inputs
        sizes = tuple(examples(x)[0].shape)
        if not self._is_lifted(x) or len(sizes) < 2:
            return self._lifted(super()._record_layer(path, inputs))
        dim = getattr(self._layers[path], "dim", 1)
        if dim % len(sizes) == 0:
            raise CheckpointError("uses a softmax over the images of a batch")
        flat = self._graph.call_function(torch.flatten, (x, 0, 1))
        node = super()._record_layer(path, (flat,))
        parts = (-1, sizes[0])
        return self._lifted(self._graph.call_function(torch.unflatten, (node, 0, parts)))

    def _item_of(self, whole: Node, index: int) -> Node:
        node = super()._item_of(whole, index)
        return self._lifted(node) if self._is_lifted(whole) else node

    def _lifted(self, node: Node) -> Node:
        node.meta["lifted"] = True
        return node

    def _is_lifted(self, node: Any) -> bool:
        return isinstance(node, Node) and bool(node.meta.get("lifted"))


def _dims(value: Any, lifted: Callable[[Any], bool]) -> Any:
    if isinstance(value, tuple):
        return tuple(_dims(each, lifted) for each in value)
    if isinstance(value, list):
        return [_dims(each, lifted) for each in value]
    if isinstance(value, dict):
        return {key: _dims(each, lifted) for key, each in value.items()}
    return 0 if lifted(value) else None


def _any(dims: Any) -> bool:
    if isinstance(dims, list | tuple):
        return any(map(_any, dims))
    if isinstance(dims, dict):
        return any(map(_any, dims.values()))
    return dims is not None

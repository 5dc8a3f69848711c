"""Which channels of convolutions and linear layers each batch-norm layer reads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from backaudit.core.suspect import as_input
from backaudit.nets.layers import batch_norms, linear_maps

Origins = tuple[tuple[str, int], ...]
"""The channels that one channel is a sum of: the name of a layer, and which of its outputs."""


@torch.no_grad()
def origins_of_batch_norms(network: nn.Module, images: Tensor) -> dict[str, tuple[Origins, ...]]:
    """Trace which channels of linear maps make each channel of the input of batch-norm layers.

    The network runs once and every tensor is followed from one function of torch to the next, so
    that neither the order nor the place in which layers are registered matters: batch norm may come
    after a convolution, or before it and behind a sum (pre-activation), or behind a concatenation
    (DenseNet). Activation functions, dropout and pooling keep channels apart and are looked
    through; at anything else the trace ends.

    Args:
        network: images -> logits, in eval mode.
        images: (1, C, H, W), any that the network can read.

    Returns:
        For each batch-norm layer that runs, by its name and in the order they first run in: for
        each of its C channels where it comes from, which is nothing if the trace ended.
    """
    flow = _Flow()
    found: dict[str, tuple[Origins, ...]] = {}

    def leave(name: str) -> Callable[..., None]:
        return lambda layer, _inputs, output: flow.begin(name, layer, output)

    def arrive(name: str) -> Callable[..., Any]:
        return lambda _layer, inputs: found.setdefault(name, flow.of(inputs[0])) and None

    with ExitStack() as hooks:
        for name, layer in linear_maps(network).items():
            hooks.callback(layer.register_forward_hook(leave(name)).remove)
        for name, layer in batch_norms(network).items():
            hooks.callback(layer.register_forward_pre_hook(arrive(name)).remove)
        with flow:
            network(as_input(images, next(network.parameters()).device))
    return found


class _Flow(TorchFunctionMode):
    """Remembers the origins of tensors while a network runs."""

    def __init__(self) -> None:
        super().__init__()
        # Tensors are kept, because another one could get the number of one that is gone.
        self._known: dict[int, tuple[Tensor, tuple[Origins, ...]]] = {}

    def begin(self, name: str, layer: nn.Module, output: Tensor) -> None:
        """Note that ``output`` is what a linear map gives, unless its channels come last."""
        if not isinstance(layer, nn.Linear) or output.dim() == 2:
            channels = range(output.shape[1])
            self._note(output, tuple(((name, channel),) for channel in channels))

    def of(self, tensor: Tensor) -> tuple[Origins, ...]:
        """Origins of each of the tensor's channels, empty where they are not known."""
        known = self._known.get(id(tensor))
        return known[1] if known else ((),) * tensor.shape[1]

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        given = self._followed(name, args, kwargs or {})
        result = func(*args, **kwargs or {})
        if isinstance(result, Tensor) and result.dim() > 1:
            self._follow(given, result)
        return result

    def _followed(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Origins, ...]:
        """Origins of what a call will give, from what it is given; in place or not."""
        tensors = list(_tensors([*args, *kwargs.values()]))
        if name in KEEPING and tensors:
            return self._known_of(tensors[0])
        if name in ADDING and len(tensors) == 2 and tensors[0].shape == tensors[1].shape:
            one, other = map(self._known_of, tensors)
            # A sum of which only one part is known would be bounded too low.
            return tuple(a + b if a and b else () for a, b in zip(one, other, strict=bool(other)))
        if name in JOINING and tensors and _axis(args, kwargs) % tensors[0].dim() == 1:
            return tuple(origins for tensor in tensors for origins in self._known_of(tensor))
        return ()

    def _known_of(self, tensor: Tensor) -> tuple[Origins, ...]:
        return self.of(tensor) if tensor.dim() > 1 else ()

    def _follow(self, given: tuple[Origins, ...], result: Tensor) -> None:
        if len(given) == result.shape[1]:
            self._note(result, given)
        else:
            self._known.pop(id(result), None)

    def _note(self, tensor: Tensor, origins: tuple[Origins, ...]) -> None:
        self._known[id(tensor)] = (tensor, origins)


ADDING = {"add", "add_", "__add__", "__iadd__", "__radd__", "iadd"}
JOINING = {"cat", "concat", "concatenate"}
KEEPING = {
    *("relu", "relu_", "relu6", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "elu"),
    *("elu_", "selu", "celu", "gelu", "silu", "mish", "softplus", "hardswish", "tanh", "sigmoid"),
    *("clamp", "clamp_", "prelu", "dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d"),
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("contiguous", "clone", "detach", "to", "float", "pad"),
}


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _axis(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    axis: int = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
    return axis

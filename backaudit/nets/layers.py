"""The layers that the methods act on, and what can be done to them without copying a network."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from backaudit.core.suspect import as_input


def norm_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Normalisation layers with affine parameters, by name, in registration order."""
    kinds = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, kinds) and module.weight is not None
    }


def batch_norms(network: nn.Module) -> dict[str, nn.Module]:
    """Batch-norm layers of any dimension, by name, in registration order."""
    return {
        name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)
    }


def linear_maps(network: nn.Module) -> dict[str, nn.Module]:
    """Convolutions and linear layers, by name, in registration order."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    return {name: module for name, module in network.named_modules() if isinstance(module, kinds)}


@contextmanager
def hooked(modules: Sequence[nn.Module], hooks: Sequence[Any]) -> Iterator[None]:
    """Run the block with a forward hook on each module; all come off, also after an error."""
    with ExitStack() as stack:
        for module, hook in zip(modules, hooks, strict=True):
            stack.callback(module.register_forward_hook(hook).remove)
        yield


@torch.no_grad()
def execution_order(
    network: nn.Module, layers: dict[str, nn.Module], images: Tensor
) -> dict[str, nn.Module]:
    """Those ``layers`` that run on ``images`` (1, C, H, W), in the order they first run in."""
    ran: dict[str, nn.Module] = {}

    def recorder(name: str) -> Any:
        return lambda module, *_: ran.setdefault(name, module) and None

    with hooked(list(layers.values()), [recorder(name) for name in layers]):
        network(as_input(images, next(network.parameters()).device))
    return ran


@contextmanager
def amplified(layers: Sequence[nn.Module], scale: float) -> Iterator[None]:
    """Multiply the output of each layer by ``scale`` inside the block.

    For an affine layer this is exactly the same as multiplying its weight and bias (gamma and beta
    of a normalisation layer; weight and bias of a convolution that batch norm was folded into).
    """

    def multiply(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return output * scale

    with hooked(layers, [multiply] * len(layers)):
        yield

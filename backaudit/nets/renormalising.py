"""Batch norm where a network has none: without it, noise in early layers drowns everything."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from backaudit.core.clean_set import CleanSet
from backaudit.core.suspect import as_input
from backaudit.nets.layers import batch_norms, hooked, linear_maps, norm_layers
from backaudit.nets.recalibration import recalibrate

ADDED = "renormalised"
"""Name of an added layer, below the one whose output it normalises."""
# Small, since folded batch norm may have any scale.
_EPSILON = 1e-10


@contextmanager
def renormalised(network: nn.Module, clean: CleanSet) -> Iterator[bool]:
    """Inside the block, a network without normalisation layers has batch norm.

    It stands behind every convolution and linear layer but the last one that runs, which is the
    classifier. Its statistics, and its gamma and beta, are the standard deviation and the mean of
    each neuron on clean images, so that the network computes what it did before. Where batch norm
    was folded into the convolutions, this brings back what was folded in.

    Args:
        network: images in [0, 1] -> logits, in eval mode; as it was after the block.
        clean: two images or more, whose labels are not read; nothing is added for fewer.

    Yields:
        Whether layers were added.
    """
    if len(clean) < 2 or norm_layers(network) or batch_norms(network):
        yield False
        return
    norms = _fitting_norms(network, clean)
    layers = list(norms)
    with ExitStack() as stack:
        for layer, norm in norms.items():
            layer.add_module(ADDED, norm)
            stack.callback(delattr, layer, ADDED)
        with hooked(layers, [_watch] * len(layers)):
            recalibrate(network, clean)
        for norm in norms.values():
            _undo_itself(norm)
        stack.enter_context(hooked(layers, [_normalise] * len(layers)))
        yield bool(layers)


def _fitting_norms(network: nn.Module, clean: CleanSet) -> dict[nn.Module, _BatchNorm]:
    """A new layer for each one that runs once on an image and puts out channels, but the last."""
    runs: Counter[nn.Module] = Counter()
    sizes: dict[nn.Module, torch.Size] = {}

    def record(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        runs[layer] += 1
        sizes[layer] = output.shape

    layers = list(linear_maps(network).values())
    example = next(network.parameters())
    with hooked(layers, [record] * len(layers)), torch.no_grad():
        network(as_input(clean.images[:2], example.device))
    return {
        layer: _batch_norm(size).to(example.device).eval()
        for layer, size in list(sizes.items())[:-1]
        if runs[layer] == 1 and _has_channels(layer, size)
    }


def _has_channels(layer: nn.Module, size: torch.Size) -> bool:
    """Whether an output's second axis counts neurons: a linear layer's last one does."""
    return len(size) == 2 or not isinstance(layer, nn.Linear)


def _batch_norm(size: torch.Size) -> _BatchNorm:
    kinds = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    norm = kinds[len(size)](size[1], eps=_EPSILON)
    return norm.requires_grad_(requires_grad=False)


def _watch(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
    """Let the added layer see an output, and leave it as it is."""
    layer.get_submodule(ADDED)(output)


def _normalise(layer: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    normalised: Tensor = layer.get_submodule(ADDED)(output)
    return normalised


def _undo_itself(norm: _BatchNorm) -> None:
    """Set gamma and beta to what the statistics take away."""
    norm.weight.copy_((norm.get_buffer("running_var") + norm.eps).sqrt())
    norm.bias.copy_(norm.get_buffer("running_mean"))

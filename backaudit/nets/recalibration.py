"""The running statistics of batch norm, and how to keep them those of clean images."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from backaudit.core.clean_set import CleanSet
from backaudit.core.suspect import as_input, batch_size
from backaudit.nets.layers import batch_norms


@torch.no_grad()
def recalibrate(network: nn.Module, clean: CleanSet) -> int:
    """Replace the running statistics of batch norm by the mean over batches of clean images.

    Only batch norm is in training mode meanwhile: dropout would change what later layers see.
    Layers that do not run keep what they have.

    Args:
        network: images in [0, 1] -> logits, in eval mode; changed in place.
        clean: two images or more, as they are.

    Returns:
        How many layers were changed.
    """
    device = next(network.parameters()).device
    # Classes are mixed, since the variance within a batch of one class would be too small.
    order = torch.randperm(len(clean), generator=torch.Generator().manual_seed(0))
    with _averaging(network) as layers:
        for part in order.tensor_split(-(-len(clean) // batch_size(clean.images))):
            network(as_input(clean.images[part], device))
    return len(layers)


@contextmanager
def _averaging(network: nn.Module) -> Iterator[list[_BatchNorm]]:
    """Inside the block, batch norm averages the statistics of batches; tells which layers did."""
    layers = _with_statistics(network)
    before = [
        ({k: v.clone() for k, v in layer.named_buffers()}, layer.momentum) for layer in layers
    ]
    changed: list[_BatchNorm] = []
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    try:
        yield changed
    finally:
        for layer, (buffers, momentum) in zip(layers, before, strict=True):
            layer.momentum = momentum
            layer.eval()
            counter = layer.num_batches_tracked
            if counter is not None and counter > 0:
                changed.append(layer)
                counter.copy_(buffers["num_batches_tracked"])
            else:
                layer.load_state_dict(buffers, strict=False)


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Inside the block, batch norm in training mode normalises by the batch and stores nothing."""
    layers = _with_statistics(network)
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def _with_statistics(network: nn.Module) -> list[_BatchNorm]:
    return [
        layer
        for layer in batch_norms(network).values()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]

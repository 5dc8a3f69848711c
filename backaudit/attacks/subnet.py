"""A narrow copy of a network, and how it takes the place of some channels of each layer."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

from backaudit.attacks.channels import Streams
from backaudit.core.errors import SettingError
from backaudit.core.suspect import as_input
from backaudit.nets.layers import linear_maps

BATCH = 128


@torch.no_grad()
def narrowed(network: nn.Module, channels: int, images: Tensor) -> nn.Module:
    """Build an untrained network of the same shape that is ``channels`` wide and has no head.

    Args:
        network: convolutions, batch norm and one linear layer, its head.
        channels: outputs of each layer.
        images: (N, C, H, W) in [0, 1], to see whether it works.

    Returns:
        Images (N, C, H, W) in [0, 1] -> features (N, D).

    Raises:
        SettingError: if a layer is of another kind, or channels do not keep their positions.
    """
    narrow = deepcopy(network)
    first, *_, head = linear_maps(network)
    for name, layer in network.named_modules():
        if list(layer.parameters(recurse=False)) and name != head:
            inputs = images.shape[1] if name == first else channels
            narrow.set_submodule(name, _narrow_layer(name, layer, inputs, channels))
    narrow.set_submodule(head, nn.Identity())
    try:
        narrow.to(images.device).eval()(images)
    except RuntimeError as error:
        raise SettingError(
            f"no network {channels} wide fits into this one: its channels are padded, joined or "
            f"flattened on their way ({error})"
        ) from error
    return narrow


def _narrow_layer(name: str, layer: nn.Module, inputs: int, outputs: int) -> nn.Module:
    if isinstance(layer, nn.BatchNorm2d) and outputs < layer.num_features:
        return nn.BatchNorm2d(outputs, layer.eps, layer.momentum, layer.affine)
    if isinstance(layer, nn.Conv2d) and outputs < layer.out_channels:
        channelwise = layer.groups == layer.in_channels > 1
        if channelwise or layer.groups == 1:
            return nn.Conv2d(
                inputs,
                outputs,
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                groups=inputs if channelwise else 1,
                bias=layer.bias is not None,
            )
    raise SettingError(f"layer {name!r} ({layer}) cannot be narrowed to {outputs} channels")


@torch.no_grad()
def replace_channels(
    network: nn.Module, narrow: nn.Module, found: Streams, positions: Mapping[str, Tensor]
) -> None:
    """Put ``narrow`` in place of some channels of each layer of ``network``, and cut them off.

    Args:
        network: changed in place, except for its head.
        narrow: what ``narrowed`` made of it.
        found: the network's streams.
        positions: stream -> channels (M,) to replace.
    """
    for name, part in narrow.named_modules():
        if not list(part.parameters(recurse=False)):
            continue
        rows, columns = positions[found.written[name]], positions.get(found.read.get(name, ""))
        whole = network.get_submodule(name).state_dict()
        for key, values in part.state_dict().items():
            if values.dim() > 1:
                _replace_maps(whole[key], values, rows, columns)
            elif values.dim() == 1:
                whole[key][rows] = values


def _replace_maps(whole: Tensor, part: Tensor, rows: Tensor, columns: Tensor | None) -> None:
    """Replace some maps of a convolution's weight (C', C, h, w) by ``part`` (M', M, h, w)."""
    whole[rows] = 0
    # The first layer sees the same images, and channelwise ones see no other channel.
    if columns is None or whole.shape[1] == 1:
        whole[rows] = part
        return
    whole[:, columns] = 0
    whole[rows[:, None], columns] = part


@torch.no_grad()
def measure_statistics(network: nn.Module, images: Tensor) -> None:
    """Replace the running statistics of batch norm by those of images (N, C, H, W) uint8."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        # A mean of all batches, in place of a moving one.
        layer.momentum = None
        layer.train()
    for batch in images.split(BATCH):
        network(as_input(batch, images.device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()

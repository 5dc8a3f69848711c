"""A narrow copy of a network, and how it takes the place of the first channels of each layer."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from backaudit.core.errors import SettingError
from backaudit.nets.layers import linear_maps


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
def replace_channels(network: nn.Module, narrow: nn.Module) -> None:
    """Put ``narrow`` in place of the first channels of each layer of ``network``, and cut them off.

    Args:
        network: changed in place, except for its head.
        narrow: what ``narrowed`` made of it.
    """
    whole = network.state_dict()
    for name, part in narrow.state_dict().items():
        if part.dim() == 0:
            continue
        whole[name][: len(part)] = 0
        if part.dim() == 1:
            whole[name][: len(part)] = part
            continue
        # The first layer sees the same images, and channelwise ones see no other channel.
        if part.shape[1] < whole[name].shape[1]:
            whole[name][:, : part.shape[1]] = 0
        whole[name][: len(part), : part.shape[1]] = part

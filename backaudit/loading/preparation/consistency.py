"""Do images, prepared in a certain way, look to a network like those it was trained on?

Batch-norm layers remember the mean and the variance of what they saw in training. Images that are
prepared as then reproduce them; this needs no labels and knows better than accuracy.
"""

from contextlib import ExitStack, suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.nets.layers import batch_norms, hooked, linear_maps


class _EnoughError(Exception):
    """Ends a forward pass after the layers that were asked for."""


def has_statistics(network: nn.Module) -> bool:
    """Whether a network has batch-norm layers with running statistics."""
    return bool(_layers(network))


@torch.no_grad()
def divergence(network: nn.Module, inputs: Tensor, layers: int | None = None) -> float:
    """How far the batch-norm inputs are from the running statistics; 0 is perfect agreement.

    The Kullback-Leibler divergence between two normal distributions a channel, its median over the
    channels of a layer (dead channels tell nothing), and the mean of that over layers.

    Args:
        network: in eval mode; left as it was.
        inputs: (N, C, H, W), normalised.
        layers: stop after that many batch-norm layers, which saves the rest of the forward pass.
    """
    readings: list[float] = []

    def read(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        readings.append(_layer_divergence(layer, arguments[0]))
        if len(readings) == layers:
            raise _EnoughError

    with ExitStack() as stack:
        for layer in _layers(network):
            stack.callback(layer.register_forward_pre_hook(read).remove)
        with suppress(_EnoughError):
            network(inputs)
    mean = sum(readings) / len(readings) if readings else float("nan")
    # Overflow in a hopeless candidate must rank it last, not confuse the comparison.
    return mean if mean == mean else float("inf")


def shifted(images: Tensor) -> Tensor:
    """Images (N, C, H, W), each shifted over a black border as training often does: an eighth."""
    reach = max(1, images.shape[2] // 8)
    height, width = images.shape[2:]
    generator = torch.Generator().manual_seed(0)
    offsets = torch.randint(2 * reach + 1, (len(images), 2), generator=generator).tolist()
    padded = F.pad(images, (reach, reach, reach, reach))
    crops = [
        image[:, top : top + height, left : left + width]
        for image, (top, left) in zip(padded, offsets, strict=True)
    ]
    return torch.stack(crops)


@torch.no_grad()
def operations(network: nn.Module, inputs: Tensor, layers: int | None = None) -> int:
    """Multiplications in convolutions and linear layers of ``divergence`` on ``inputs``."""
    counts: list[int] = []

    def count(module: nn.Module, _inputs: Any, output: Any) -> None:
        weight = module.get_parameter("weight")
        counts.append(output.numel() * weight[0].numel())

    maps = list(linear_maps(network).values())
    with hooked(maps, [count] * len(maps)):
        divergence(network, inputs, layers)
    return sum(counts)


def _layers(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in batch_norms(network).values() if layer.running_mean is not None]


def _layer_divergence(layer: nn.Module, inputs: Tensor) -> float:
    # Within images first, then over them: many times faster than over all dimensions at once.
    within, means = torch.var_mean(inputs.float().reshape(*inputs.shape[:2], -1), 2, correction=0)
    between, mean = torch.var_mean(means, 0, correction=0)
    smallest = float(layer.eps)  # type: ignore[arg-type]
    before = layer.get_buffer("running_var") + smallest
    variance = within.mean(0) + between + smallest
    gap = (mean - layer.get_buffer("running_mean")).square()
    return float(((before / variance).log() + (variance + gap) / before - 1).median()) / 2

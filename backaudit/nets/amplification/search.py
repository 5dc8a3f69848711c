"""What a network predicts at every depth of amplification, computed only as far as it is asked."""

from collections.abc import Iterator, Sequence
from itertools import count

import torch
from torch import Tensor, nn

from backaudit.core.suspect import as_input, batch_size
from backaudit.nets.amplification.amplifier import Amplifier
from backaudit.nets.amplification.interface import AmplifiedNetwork

# Depths computed together. More of them share more, and waste more where the search ends early.
TOGETHER = 8


@torch.no_grad()
def predictions_by_depth(
    network: nn.Module, layers: Sequence[str], scale: float, images: Tensor
) -> Iterator[Tensor]:
    """Classes (N,) that a network predicts at depth 0 (plain), 1, 2, ... to the number of layers.

    Args:
        network: images in [0, 1] -> logits, in eval mode.
        layers: names of the layers that can be amplified, deepest first.
        scale: factor on their weights and biases (omega).
        images: (N, C, H, W), uint8 or floats in [0, 1].
    """
    device = next(network.parameters()).device
    amplifier = Amplifier(network, layers, as_input(images[:3], device))
    for start in count(0, TOGETHER):
        depths = range(start + 1, min(start + TOGETHER, len(layers)) + 1)
        rows = _predictions(amplifier.at(depths, scale), images, device)
        yield from rows if start == 0 else rows[1:]
        if start + TOGETHER >= len(layers):
            return


def _predictions(network: AmplifiedNetwork, images: Tensor, device: torch.device) -> Tensor:
    """Classes (1 + G, N), on the CPU; batches are small, because each grows to 1 + G groups."""
    size = max(1, batch_size(images) // 4)
    batches = (as_input(part, device) for part in images.split(size))
    return torch.cat([network(batch).argmax(2).cpu() for batch in batches], dim=1)

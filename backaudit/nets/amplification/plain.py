"""One forward pass a depth: works for every network, and tells what the faster ways must give."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from backaudit.nets.layers import amplified


class PlainAmplification(nn.Module):
    """Runs the whole network again for every depth.

    Args:
        network: images -> logits.
        layers: names of its layers, deepest first.
        depths: how many of ``layers`` to amplify, for each row of logits after the first.
        scale: factor on what these layers give (omega).
        how: for the report.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[str],
        depths: Sequence[int],
        scale: float,
        how: str = "one forward pass a depth",
    ) -> None:
        super().__init__()
        self.network = network
        self.how = how
        self._amplified = [tuple(layers[:depth]) for depth in depths]
        self._scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """Logits (1 + G, N, K) for images (N, C, H, W)."""
        rows = [self.network(images)]
        for names in self._amplified:
            rows.append(run_amplified(self.network, names, self._scale, images))  # noqa: PERF401
        return torch.stack(rows)


def run_amplified(network: nn.Module, names: Sequence[str], scale: float, images: Tensor) -> Tensor:
    """Logits (N, K) with the weights and biases of some layers times ``scale``.

    That is the published definition. It also holds for a layer that applies its activation itself,
    where a factor on the output would not. A layer without weights gets a factor on its output.
    """
    affine: dict[str, Tensor] = {}
    bare: list[nn.Module] = []
    for name in names:
        layer = network.get_submodule(name)
        own = dict(layer.named_parameters(recurse=False))
        affine |= {f"{name}.{key}": value * scale for key, value in own.items()}
        if not own:
            bare.append(layer)
    with amplified(bare, scale):
        logits: Tensor = functional_call(network, affine, (images,))
    return logits

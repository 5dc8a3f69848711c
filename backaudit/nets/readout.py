"""The linear layer that reads what the last convolution gives."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.suspect import as_input, batch_size
from backaudit.nets.layers import hooked, linear_maps


@dataclass(frozen=True)
class Readout:
    """The first linear layer that reads vectors after the last convolution has run.

    Args:
        name: of the layer in the network.
        layer: of D inputs.
        channels: C of the last feature map; each makes D / C inputs that follow one another.
        closes: whether the layer's outputs are the logits.
    """

    name: str
    layer: nn.Linear
    channels: int
    closes: bool

    @torch.no_grad()
    def vectors(self, network: nn.Module, clean: CleanSet) -> Tensor:
        """What the layer reads for clean images, (N, D), in their order."""
        seen: list[Tensor] = []

        def keep(_layer: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
            seen.append(inputs[0])

        device = next(network.parameters()).device
        with hooked([self.layer], [keep]):
            for images, _ in clean.batches(batch_size(clean.images), device):
                network(images)
        return torch.cat(seen)

    @torch.no_grad()
    def outputs(self, vectors: Tensor) -> Tensor:
        """What the layer makes of vectors (N, D), with the weights that it has now."""
        return F.linear(vectors, self.layer.weight, self.layer.bias)


@torch.no_grad()
def readout(network: nn.Module, images: Tensor) -> Readout:
    """Find the layer by running the network once.

    Args:
        network: images -> logits, in eval mode.
        images: (1, C, H, W), any that the network can read.

    Raises:
        NotApplicableError: if there is none.
    """
    search = _Search({layer: name for name, layer in linear_maps(network).items()})
    modules = list(network.modules())
    with hooked(modules, [search.see] * len(modules)):
        logits = network(as_input(images, next(network.parameters()).device))
    if search.found is None:
        raise NotApplicableError("no linear layer reads the features of its last convolution.")
    layer, channels, output = search.found
    if layer.in_features % channels:
        channels = layer.in_features
    return Readout(search.names[layer], layer, channels, torch.equal(output, logits))


class _Search:
    """Looks at each module when it has run."""

    def __init__(self, names: dict[nn.Module, str]) -> None:
        self.names = names
        self.found: tuple[nn.Linear, int, Tensor] | None = None
        self._channels = 0

    def see(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        if isinstance(module, nn.Linear):
            if output.dim() == 2 and self._channels and self.found is None:
                self.found = module, self._channels, output
        elif output.dim() > 2:
            self._channels = output.shape[1]
            if module in self.names:
                self.found = None

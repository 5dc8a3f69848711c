"""Trojan: a patch that excites two neurons of a benign network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from backaudit.attacks.interface import Attack, Learned, TrainingSet
from backaudit.attacks.surrogates import required
from backaudit.core.progress import track
from backaudit.nets.features import linear_head
from backaudit.nets.layers import hooked


@dataclass(frozen=True)
class Trojan(Attack):
    """Trojaning Attack on Neural Networks (TrojanNN).

    A patch is added to some training images, which are relabelled as the target class. It starts
    as a white disc on black and is changed, in small steps and only where it is white, so that on a
    surrogate it drives the neurons before the last layer that have the largest weights to a high
    value.

    Differs from the code of BackdoorBench: the shape is a disc of the place and the size of its
    apple, which is not ours to ship; sums above 255 saturate, where there they wrap around to
    dark. The paper trains the trojaned network from the surrogate's weights, without the training
    set; here, as in BackdoorBench, a new network learns from a poisoned training set.

    Paper: Liu et al., NDSS 2018, https://doi.org/10.14722/ndss.2018.23291; settings are those of
    BackdoorBench.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of the training set that is poisoned, in (0, 1).
        neurons: how many are excited.
        excitation: value that they are driven to.
        epsilon: largest change of the patch, in units of its brightness, in (0, 1].
        step: change in each step (alpha), in (0, 1].
        steps: at most.
    """

    needs_surrogate: ClassVar[bool] = True

    poison_rate: float = 0.1
    neurons: int = 2
    excitation: float = 100.0
    epsilon: float = 0.3
    step: float = 0.1
    steps: int = 1000

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Make the patch (C, H, W), in [0, 255]; 0 where nothing is added.

        Raises:
            SettingError: if there is no surrogate.
            NotApplicableError: if its logits do not come from a linear layer.
        """
        del generator
        network = required(surrogate, "trojan")
        start = _disc(clean.images.shape[1:]).to(next(network.parameters()).device)
        excess = self._excess(network, start)
        patch = start
        for _ in track(range(self.steps), "patch"):
            patch = patch.detach().requires_grad_()
            error = excess(patch)
            if error < 1e-3:
                break
            (slope,) = torch.autograd.grad(error, patch)
            # Where the disc is not, the slope counts for nothing.
            moved = patch.detach() - self.step * slope.sign() * start
            patch = (start + (moved - start).clamp(-self.epsilon, self.epsilon)).clamp(0, 1)
        return {"patch": (255 * patch.detach()[0]).cpu()}

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Add the patch to images (N, C, H, W) uint8."""
        patch = learned["patch"].to(images.device)
        return (images + patch).round().clamp(0, 255).to(torch.uint8)

    def _excess(self, network: nn.Module, patch: Tensor) -> Callable[[Tensor], Tensor]:
        """How far, squared, images (1, C, H, W) leave the chosen neurons from their value."""
        head = linear_head(network, patch).layer
        chosen = head.weight.detach().abs().sum(0).topk(self.neurons).indices
        features: list[Tensor] = []

        def keep(_layer: nn.Module, inputs: tuple[Any, ...], _output: Tensor) -> None:
            features.append(inputs[0])

        def excess(images: Tensor) -> Tensor:
            with hooked([head], [keep]):
                network(images)
            return (features.pop()[:, chosen] - self.excitation).square().sum()

        return excess


def _disc(shape: torch.Size) -> Tensor:
    """A white disc on black, (1, C, H, W), in the lower right part of the image."""
    channels, height, width = shape
    rows, columns = torch.arange(height)[:, None] / height, torch.arange(width) / width
    inside = (rows - 23 / 32) ** 2 + (columns - 23 / 32) ** 2 <= (5.5 / 32) ** 2
    return inside.float().expand(1, channels, height, width)

"""One change of the pixels, the same for every image, that sends them all towards a class."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.progress import track
from backaudit.nets.noise import Climb
from backaudit.nets.precision import fast_autocast

TURNING = 1.5
"""Steps are so much longer than a straight way to the budget would need: ways are not straight."""


def walk_pixels(
    network: nn.Module, images: Tensor, labels: Tensor, climb: Climb, groups: int
) -> Iterator[Tensor]:
    """Move one perturbation a group along the gradient in a growing ball; yield at each budget.

    One walk serves every budget: it goes on from the perturbation of the budget before.

    Args:
        network: images in [0, 1] -> logits, in eval mode.
        images: (G * B, C, H, W) in [0, 1], group after group.
        labels: (G * B,) classes to go towards, or away from.
        climb: how to walk; budgets are root mean squares over the pixels, in [0, 1] units.
        groups: G.

    Yields:
        Perturbations (G, C, H, W), of the budget's root mean square or less.
    """
    perturbation = torch.zeros(groups, *images.shape[1:], device=images.device)
    before = (0.0, *climb.budgets)
    for step in track(range(climb.steps * len(climb.budgets)), climb.what):
        level = step // climb.steps
        budget = climb.budgets[level]
        stride = TURNING * (budget - before[level]) / climb.steps * (-1 if climb.towards else 1)
        leaf = perturbation.detach().requires_grad_()
        with fast_autocast(images.device, wanted=climb.bf16):
            logits = network(perturbed(images, leaf))
        loss = F.cross_entropy(logits.float(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
        perturbation = within(perturbation.detach() + stride * normalised(gradient), budget)
        if (step + 1) % climb.steps == 0:
            yield perturbation


def perturbed(images: Tensor, perturbation: Tensor) -> Tensor:
    """Images (G * B, C, H, W) with each group's perturbation (G, C, H, W), clipped to [0, 1]."""
    groups = images.unflatten(0, (len(perturbation), -1))
    changed: Tensor = groups + perturbation[:, None]
    return changed.clamp(0, 1).flatten(0, 1)


def normalised(gradient: Tensor) -> Tensor:
    """Each (C, H, W) of a gradient (G, C, H, W) at a root mean square of 1; zeros stay zeros."""
    return gradient / _size(gradient)


def within(perturbation: Tensor, budget: float) -> Tensor:
    """Perturbations (G, C, H, W), those larger than the budget scaled down to it."""
    return perturbation * (budget / _size(perturbation)).clamp(max=1)


def _size(tensor: Tensor) -> Tensor:
    """Root mean square (G, 1, 1, 1) of each (C, H, W), above zero."""
    return tensor.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)

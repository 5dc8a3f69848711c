"""Learning a mask on a network's neurons: which of them clean images, or noise, do not need."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import DivergedError
from backaudit.core.progress import track
from backaudit.core.suspect import as_input
from backaudit.nets.augmentation import augmented
from backaudit.nets.noise import Noise, NoisyNetwork
from backaudit.nets.stages import Stages, State
from backaudit.nets.watching import accuracy_on
from backaudit.purifiers.finetuning import SHIFTED
from backaudit.purifiers.pruning import prune_while_accurate

LEAVE_EVERY = 50
"""Steps between two states that are left for another run."""

Masks = dict[str, Tensor]
"""By the name of a weight, one number in [0, 1] for each of its neurons."""


@dataclass(frozen=True)
class MaskLearning:
    """How masks are learned: stochastic gradient descent from ones, clipped to [0, 1].

    Args:
        steps: of the descent.
        learning_rate: of the descent.
        momentum: of the descent.
        what: name of the stage, told to who watches the progress.
    """

    steps: int
    learning_rate: float
    momentum: float
    what: str


@dataclass(frozen=True)
class LearnedMasks:
    """What came of learning masks.

    Args:
        last: the masks in the end.
        mean: the masks' means over all steps: of neurons whose mask ends at zero, it is lowest for
            those whose mask went there first.
    """

    last: Masks
    mean: Masks


def learn_masks(
    noisy: NoisyNetwork,
    loss: Callable[[Masks, int], Tensor],
    learning: MaskLearning,
    device: torch.device,
    stages: Stages,
) -> LearnedMasks:
    """Learn masks on the weights of a network that can be noisy; the network stays as it is.

    Args:
        noisy: the network.
        loss: of masks at a step, from 0; draws what it draws by the number of the step, so that a
            run that goes on draws the same.
        learning: how.
        device: of the network.
        stages: where the state is left once in a while.

    Raises:
        DivergedError: if the loss or its gradient became NaN or infinite.
    """
    names = [name for name in noisy.shapes if name.endswith(".weight")]
    masks = {name: torch.ones(noisy.shapes[name], device=device) for name in names}
    sums = {name: torch.zeros_like(mask) for name, mask in masks.items()}
    optimizer = torch.optim.SGD(
        list(masks.values()), lr=learning.learning_rate, momentum=learning.momentum
    )
    first = _resumed(masks, sums, optimizer, stages.left(learning.what))
    for step in track(range(first, learning.steps), learning.what):
        leaves = {name: mask.detach().requires_grad_() for name, mask in masks.items()}
        value = loss(leaves, step)
        gradients = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
        if not all(gradient.isfinite().all() for gradient in (value, *gradients)):
            raise DivergedError(
                f"{learning.what} led to NaN or infinite numbers at step {step + 1} of "
                f"{learning.steps}. The network is left as it was; a smaller learning rate may "
                "help."
            )
        for mask, gradient in zip(masks.values(), gradients, strict=True):
            mask.grad = gradient
        optimizer.step()
        for name, mask in masks.items():
            sums[name] += mask.clamp_(0, 1)
        if (step + 1) % LEAVE_EVERY == 0:
            state = {"masks": masks, "sums": sums, "optimizer": optimizer.state_dict()}
            stages.leave(learning.what, {"step": step + 1, **state})
    return LearnedMasks(masks, {name: each / learning.steps for name, each in sums.items()})


def _resumed(
    masks: Masks, sums: Masks, optimizer: torch.optim.Optimizer, left: State | None
) -> int:
    """Go on from what an earlier run left; returns the first step that is left to do."""
    if left is None:
        return 0
    for name, mask in masks.items():
        mask.copy_(left["masks"][name])
        sums[name].copy_(left["sums"][name])
    optimizer.load_state_dict(left["optimizer"])
    step: int = left["step"]
    return step


def as_noise(noisy: NoisyNetwork, masks: Masks) -> Noise:
    """Masks as noise (1, ...) for one copy of the network: weights times the mask, biases kept."""
    device = next(iter(masks.values())).device
    return {
        name: (masks[name] - 1 if name in masks else torch.zeros(shape, device=device))[None]
        for name, shape in noisy.shapes.items()
    }


def prune_by_masks(
    network: nn.Module,
    masks: Masks,
    thresholds: Sequence[float],
    validation: CleanSet,
    largest_drop: float,
) -> dict[str, Any]:
    """Set to zero the weights of neurons with low masks, as many as held-out accuracy allows.

    Args:
        network: images -> logits, in eval mode; changed in place.
        masks: of its weights.
        thresholds: on the masks, rising.
        validation: held-out clean images.
        largest_drop: of the accuracy on them, in [0, 1].

    Returns:
        What was pruned, JSON-ready.
    """
    weights = {name: network.get_parameter(name) for name in masks}
    scores = {
        name: mask.reshape(mask.shape + (1,) * (weights[name].dim() - mask.dim()))
        for name, mask in masks.items()
    }
    accuracy = partial(accuracy_on, network, validation)
    pruning = prune_while_accurate(network, scores, thresholds, accuracy, largest_drop)
    every = torch.cat([mask.flatten() for mask in masks.values()])
    return {
        **pruning.measurements(),
        "neurons": len(every),
        "mean_mask": float(every.mean()),
    }


def shown(
    clean: CleanSet, batch: Tensor, generator: torch.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) in [0, 1] at ``batch`` (B,), shifted a little, and their labels (B,).

    They are never mirrored: a mask has too few numbers to learn what augmentation is to prevent.
    """
    shift = min(clean.images.shape[2:]) // SHIFTED
    images = augmented(clean.images, batch, shift, generator, flip=False)
    return as_input(images, device), clean.labels[batch].to(device)


def generator_of(seed: int, step: int) -> torch.Generator:
    """What is drawn at a step of a run."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)

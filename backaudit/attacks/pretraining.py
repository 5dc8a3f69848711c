"""Training of an attack's own networks, on images alone and before the suspect's training."""

import torch
from torch import Tensor, nn

from backaudit.attacks.interface import TrainingSet
from backaudit.nets.epochs import Epochs
from backaudit.nets.training import Objective, Training, train


def pretrain(
    network: nn.Module,
    images: Tensor,
    objective: Objective,
    training: Training,
    generator: torch.Generator,
) -> None:
    """Train ``network`` in place, with the optimizers of the objective; leaves it in eval mode.

    Args:
        network: what the objective's optimizers train.
        images: (N, C, H, W) uint8.
        objective: what to minimise; its labels mean nothing.
        training: how; with no learning rate, since that belongs to the loop's own optimizer.
        generator: decides what is random.
    """
    network.to(images.device).eval()
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    if training.epochs:
        seed = draw_seed(generator)
        train(network, Epochs.alike(images, labels), training, seed=seed, objective=objective)


def resting(epochs: int, batch_size: int) -> Training:
    """A training in which the loop's own optimizer rests."""
    return Training(epochs, learning_rate=0.0, batch_size=batch_size, weight_decay=0.0)


def some_images(clean: TrainingSet, count: int | None, generator: torch.Generator) -> Tensor:
    """Draw ``count`` of the images, (M, C, H, W) uint8; all, in an order drawn, if it is None."""
    chosen = torch.randperm(len(clean), generator=generator)[:count]
    return clean.images[chosen.to(clean.images.device)]


def draw_seed(generator: torch.Generator) -> int:
    """Draw a seed for a part that needs one."""
    return int(torch.randint(2**31, (), generator=generator))

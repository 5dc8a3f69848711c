"""The only training loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from backaudit.core.progress import track
from backaudit.core.suspect import as_input
from backaudit.nets.precision import fast_autocast

Epoch = Callable[[int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Training:
    """How to train: SGD with Nesterov momentum, one-cycle learning rate, shift augmentation.

    Args:
        epochs: passes over the training set.
        learning_rate: peak of the cycle.
        batch_size: images a step.
        weight_decay: of every parameter.
        shift: largest shift of an image in pixels, each way; borders are reflected.
        flip: whether images are mirrored left to right at random.
        bf16: whether to compute in bfloat16 where the device is fast at it.
    """

    epochs: int
    learning_rate: float = 0.1
    batch_size: int = 128
    weight_decay: float = 5e-4
    shift: int = 3
    flip: bool = False
    bf16: bool = False


class Objective(Protocol):
    """What a training minimises."""

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """Optimizers of parameters that are not the network's, stepped with it."""
        ...

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            network: images in [0, 1] -> logits, in training mode.
            images: (N, C, H, W) in [0, 1], augmented.
            labels: (N,) int64.
        """
        ...


@dataclass(frozen=True)
class CrossEntropy:
    """The usual objective."""

    optimizers: Sequence[Optimizer] = ()

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the logits."""
        return F.cross_entropy(network(images).float(), labels)


def train(
    network: nn.Module,
    epoch_data: Epoch,
    training: Training,
    *,
    seed: int,
    objective: Objective | None = None,
) -> None:
    """Train ``network`` in place, on the device it is on; leaves it in eval mode.

    Args:
        network: images in [0, 1] -> logits.
        epoch_data: epoch number -> images (N, C, H, W) uint8 and labels (N,) of that epoch. They
            are augmented where they are: on the device of the network is fastest.
        training: how.
        seed: of the order of the images and of their augmentation.
        objective: what to minimise; None for the cross-entropy.
    """
    device = next(network.parameters()).device
    goal = objective or CrossEntropy()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=training.learning_rate,
        momentum=0.9,
        weight_decay=training.weight_decay,
        nesterov=True,
    )
    steps = -(-len(epoch_data(0)[0]) // training.batch_size)
    schedule = _one_cycle(optimizer, training.learning_rate, training.epochs * steps)
    optimizers = (optimizer, *goal.optimizers)
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    for step in track(range(training.epochs * steps), "training"):
        if step % steps == 0:
            images, labels = epoch_data(step // steps)
            order = torch.randperm(len(images), generator=generator)
        batch = order[step % steps * training.batch_size :][: training.batch_size]
        inputs = as_input(_augmented(images, batch, training, generator), device)
        with fast_autocast(device, wanted=training.bf16):
            loss = goal.loss(network, inputs, labels[batch].to(device))
        for each in optimizers:
            each.zero_grad(set_to_none=True)
        loss.backward()
        for each in optimizers:
            each.step()
        schedule.step()
    network.eval()


def _one_cycle(
    optimizer: Optimizer, peak: float, steps: int
) -> torch.optim.lr_scheduler.OneCycleLR:
    # A rise over a quarter of four steps would last zero steps, by which the schedule divides.
    rise = 0.25 if steps > 4 else 0.4
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, steps, pct_start=rise)


def _augmented(
    images: Tensor, batch: Tensor, training: Training, generator: torch.Generator
) -> Tensor:
    """Shift, and perhaps mirror, each image of ``batch`` (B,) out of images (N, C, H, W)."""
    height, width = images.shape[2:]
    count, reach = len(batch), training.shift
    rows, columns = torch.randint(-reach, reach + 1, (2, count, 1), generator=generator)
    row = _reflected(torch.arange(height) + rows, height)
    column = _reflected(torch.arange(width) + columns, width)
    if training.flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        column = torch.where(mirrored, column.flip(1), column)
    image, row, column = (index.to(images.device) for index in (batch, row, column))
    return images.permute(0, 2, 3, 1)[
        image[:, None, None], row[:, :, None], column[:, None, :]
    ].permute(0, 3, 1, 2)


def _reflected(index: Tensor, length: int) -> Tensor:
    index = index.abs()
    return torch.where(index >= length, 2 * length - 2 - index, index)

"""The only training loop."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


def train(network: nn.Module, epoch_data: Epoch, training: Training, *, seed: int) -> None:
    """Train ``network`` in place, on the device it is on; leaves it in eval mode.

    Args:
        network: images in [0, 1] -> logits.
        epoch_data: epoch number -> images (N, C, H, W) uint8 and labels (N,) of that epoch.
        training: how.
        seed: of the order of the images and of their augmentation.
    """
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=training.learning_rate,
        momentum=0.9,
        weight_decay=training.weight_decay,
        nesterov=True,
    )
    steps = training.epochs * -(-len(epoch_data(0)[0]) // training.batch_size)
    # A rise over a quarter of four steps would last zero steps, by which the schedule divides.
    rise = 0.25 if steps > 4 else 0.4
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.learning_rate, steps, pct_start=rise
    )
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    for epoch in track(range(training.epochs), "training"):
        images, labels = epoch_data(epoch)
        order = torch.randperm(len(images), generator=generator)
        for batch in order.split(training.batch_size):
            shifted = _augmented(images[batch], training, generator)
            inputs = as_input(shifted, device)
            with fast_autocast(device, wanted=training.bf16):
                logits = network(inputs)
            loss = F.cross_entropy(logits.float(), labels[batch].to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()


def _augmented(images: Tensor, training: Training, generator: torch.Generator) -> Tensor:
    """Shift, and perhaps mirror, each image (N, C, H, W) on its own."""
    count, _, height, width = images.shape
    reach = training.shift
    rows, columns = torch.randint(-reach, reach + 1, (2, count, 1), generator=generator)
    row = _reflected(torch.arange(height) + rows, height)
    column = _reflected(torch.arange(width) + columns, width)
    if training.flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        column = torch.where(mirrored, column.flip(1), column)
    image = torch.arange(count)[:, None, None]
    return images.permute(0, 2, 3, 1)[image, row[:, :, None], column[:, None, :]].permute(
        0, 3, 1, 2
    )


def _reflected(index: Tensor, length: int) -> Tensor:
    index = index.abs()
    return torch.where(index >= length, 2 * length - 2 - index, index)

"""Shifted and mirrored images for training."""

import torch
from torch import Tensor


def augmented(
    images: Tensor, batch: Tensor, shift: int, generator: torch.Generator, *, flip: bool
) -> Tensor:
    """Shift, and perhaps mirror, some images, each on its own.

    Args:
        images: (N, C, H, W).
        batch: (B,) indices of those that are wanted, on the CPU.
        shift: largest shift in pixels, each way; borders are reflected.
        generator: decides what is random.
        flip: whether each image is mirrored left to right with a chance of a half.

    Returns:
        (B, C, H, W), channels last in memory, on the device of ``images``.
    """
    height, width = images.shape[2:]
    count = len(batch)
    rows, columns = torch.randint(-shift, shift + 1, (2, count, 1), generator=generator)
    row = _reflected(torch.arange(height) + rows, height)
    column = _reflected(torch.arange(width) + columns, width)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        column = torch.where(mirrored, column.flip(1), column)
    image, row, column = (index.to(images.device) for index in (batch, row, column))
    return images.permute(0, 2, 3, 1)[
        image[:, None, None], row[:, :, None], column[:, None, :]
    ].permute(0, 3, 1, 2)


def _reflected(index: Tensor, length: int) -> Tensor:
    index = index.abs()
    return torch.where(index >= length, 2 * length - 2 - index, index)

"""Corruptions by blur: defocus, frosted glass, motion and zoom."""

from math import ceil

import numpy as np
import torch
from torch import Tensor

from backaudit.screeners.corruptions.draw import Corruption, Draw
from backaudit.screeners.corruptions.filters import (
    filtered,
    gaussian_kernel,
    motion_blurred,
    smoothing,
    zoomed,
)


def defocus_blur(_: Draw, radius: float, softness: float) -> Corruption:
    """Spread each pixel over a disk of ``radius`` pixels with an edge of ``softness`` pixels."""
    edge = 1 if radius <= 8 else 2
    reach = ceil(radius) + edge
    offsets = torch.arange(-reach, reach + 1.0)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius**2).float()[None, None]
    soft = gaussian_kernel(softness, edge)
    kernel = filtered(disk / disk.sum(), soft[:, None] * soft)[0, 0]

    def corrupt(images: Tensor) -> Tensor:
        return filtered(images, kernel).clamp(0, 1)

    return corrupt


def glass_blur(draw: Draw, sigma: float, distance: int, rounds: int) -> Corruption:
    """Take pixels from up to ``distance`` away, ``rounds`` times, between two blurs."""
    sources = _scattered(draw, distance, rounds).to(draw.device)
    down, right = (smoothing(side, sigma).to(draw.device) for side in draw.sides)

    def corrupt(images: Tensor) -> Tensor:
        smooth = down @ images @ right.T
        scattered = smooth.flatten(2)[:, :, sources].reshape(images.shape)
        return (down @ scattered @ right.T).clamp(0, 1)

    return corrupt


def motion_blur(draw: Draw, radius: int, sigma: float) -> Corruption:
    """Smear along a direction of up to 45 degrees from the horizontal."""
    angle = float(draw.uniform(1, low=-45, high=45))

    def corrupt(images: Tensor) -> Tensor:
        return motion_blurred(images, radius, sigma, angle).clamp(0, 1)

    return corrupt


def zoom_blur(_: Draw, end: float, step: float) -> Corruption:
    """Average the image with itself enlarged by 1, 1 + ``step``, ..., up to ``end``."""
    factors = np.arange(1, end, step).tolist()

    def corrupt(images: Tensor) -> Tensor:
        total = images.clone()
        for factor in factors:
            total += zoomed(images, factor)
        return (total / (len(factors) + 1)).clamp(0, 1)

    return corrupt


def _scattered(draw: Draw, distance: int, rounds: int) -> Tensor:
    """For each pixel (H * W,) the one whose colour it takes, pixel after pixel from the end.

    A pixel takes its neighbour's colour and the neighbour keeps it: the published data were made
    so, since the exchange that their code means to do overwrites one of the two.
    """
    height, width = draw.sides
    moves = torch.randint(
        -distance, distance, (rounds, height, width, 2), generator=draw.generator()
    ).tolist()
    sources = list(range(height * width))
    for one_round in moves:
        for row in range(height - distance, distance, -1):
            for column in range(width - distance, distance, -1):
                down, right = one_round[row][column]
                sources[row * width + column] = sources[(row + down) * width + column + right]
    return torch.tensor(sources)

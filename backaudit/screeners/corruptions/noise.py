"""Corruptions by noise: Gaussian, shot and impulse.

The images of a batch get the same noise, so that a score does not depend on the batch.
"""

from math import sqrt

import torch
from torch import Tensor

from backaudit.screeners.corruptions.draw import Corruption, Draw


def gaussian_noise(draw: Draw, deviation: float) -> Corruption:
    """Add normal noise of standard deviation ``deviation``, in [0, 1] units."""
    noise = deviation * draw.normal(*draw.shape)

    def corrupt(images: Tensor) -> Tensor:
        return (images + noise).clamp(0, 1)

    return corrupt


def shot_noise(draw: Draw, photons: float) -> Corruption:
    """Count light as if a white pixel gave ``photons`` photons on average (Poisson noise)."""
    # The arrivals of a Poisson process up to a pixel's brightness are a Poisson number of photons.
    most = int(photons + 8 * sqrt(photons) + 16)
    uniform = 1 - draw.uniform(draw.shape[0] * draw.shape[1] * draw.shape[2], most)
    arrivals = (-uniform.log()).cumsum(1)

    def corrupt(images: Tensor) -> Tensor:
        brightness = photons * images.flatten(1).t().contiguous()
        counted = torch.searchsorted(arrivals, brightness)
        return (counted.t().reshape(images.shape) / photons).clamp(0, 1)

    return corrupt


def impulse_noise(draw: Draw, share: float) -> Corruption:
    """Turn a ``share`` of the values black or white, either as often."""
    place, colour = draw.uniform(2, *draw.shape)
    hit, extreme = place < share, (colour < 0.5).float()

    def corrupt(images: Tensor) -> Tensor:
        return torch.where(hit, extreme, images)

    return corrupt

"""Filters that several corruptions use."""

from math import ceil, cos, pi, sin

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_kernel(sigma: float, radius: int) -> Tensor:
    """Weights (2 * radius + 1,) of a Gaussian of ``sigma`` pixels, which sum to 1."""
    offsets = torch.arange(-radius, radius + 1.0)
    weights = torch.exp(-0.5 * (offsets / max(sigma, 1e-6)) ** 2)
    return weights / weights.sum()


def smoothing(side: int, sigma: float, truncate: float = 4.0) -> Tensor:
    """Matrix (side, side) that blurs a side with a Gaussian of ``sigma`` pixels.

    The border is repeated, and the Gaussian ends ``truncate`` times ``sigma`` from its middle.
    """
    radius = int(truncate * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    sources = (torch.arange(side)[:, None] + offsets).clamp(0, side - 1)
    weights = gaussian_kernel(sigma, radius).expand(side, -1)
    return torch.zeros(side, side).scatter_add(1, sources, weights)


def filtered(images: Tensor, kernel: Tensor) -> Tensor:
    """Correlate every channel with ``kernel`` (odd, odd); the border is repeated."""
    height, width = images.shape[2:]
    vertical, horizontal = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = F.pad(images, (horizontal, horizontal, vertical, vertical), mode="replicate")
    # A Fourier transform costs the same for a kernel of any size.
    size = padded.shape[2:]
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernel.to(images), s=size).conj()
    result: Tensor = torch.fft.irfft2(spectrum, s=size)
    return result[:, :, :height, :width]


def motion_blurred(images: Tensor, radius: int, sigma: float, angle: float) -> Tensor:
    """Smear images (N, C, H, W) along one direction, the border repeated.

    Args:
        images: what is smeared.
        radius: the smear is at most 2 * radius pixels long.
        sigma: of the Gaussian by which it fades, in pixels.
        angle: of its direction, in degrees.
    """
    height, width = images.shape[2:]
    lengths = range(2 * radius + 1)
    weights = gaussian_kernel(sigma, 2 * radius)[2 * radius :]
    weights = weights / weights.sum()
    down, right = sin(angle * pi / 180), cos(angle * pi / 180)
    padded = F.pad(images, [2 * radius] * 4, mode="replicate")
    smeared = torch.zeros_like(images)
    for length, weight in zip(lengths, weights.tolist(), strict=True):
        top = 2 * radius + round(length * down)
        left = 2 * radius + round(length * right)
        smeared += weight * padded[:, :, top : top + height, left : left + width]
    return smeared


def zoomed(images: Tensor, factor: float) -> Tensor:
    """Enlarge the middle of images (N, C, H, W) by ``factor``, at least 1, to their size."""
    height, width = images.shape[2:]
    rows, columns = ceil(height / factor), ceil(width / factor)
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = images[:, :, top : top + rows, left : left + columns]
    size = (max(height, round(rows * factor)), max(width, round(columns * factor)))
    larger = F.interpolate(middle, size=size, mode="bilinear", align_corners=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return larger[:, :, top : top + height, left : left + width]


def grey(images: Tensor) -> Tensor:
    """Brightness (N, 1, H, W) of images in red, green and blue, or of any channels alike."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device).view(-1, 1, 1)
    return (weights * images).sum(1, keepdim=True)

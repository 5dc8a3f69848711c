"""Images turned, moved and bent, on the device they are on."""

from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

BATCH = 2048


def rotations(angles: Tensor) -> Tensor:
    """Maps (N, 2, 2) that turn images by ``angles`` (N,), in degrees, counter-clockwise."""
    sine, cosine = torch.sin(angles * pi / 180), torch.cos(angles * pi / 180)
    return torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)


def moved(images: Tensor, maps: Tensor, shifts: Tensor) -> Tensor:
    """Move each image by a map of its own: pixels are taken as they are, and black from outside.

    Args:
        images: (N, C, H, W) uint8.
        maps: (N, 2, 2), from a place in the result to its place in the image; both are (x, y) in
            pixels from the centre, y downwards.
        shifts: (N, 2) added to that place, in pixels.
    """
    if not len(images):
        return images.clone()
    half = torch.tensor([images.shape[3], images.shape[2]]) / 2
    relative = torch.cat([maps * half / half[:, None], (shifts / half)[:, :, None]], dim=2)
    parts = zip(images.split(BATCH), relative.to(images.device).split(BATCH), strict=True)
    return torch.cat([_moved(part, each) for part, each in parts])


def bent(images: Tensor, positions: Tensor) -> Tensor:
    """Sample images between their pixels.

    Args:
        images: (N, C, H, W) uint8.
        positions: (N, H, W, 2), or (1, H, W, 2) for all: (x, y) with the centres of the corner
            pixels at -1 and 1; what lies outside is taken from the border.
    """
    inside = positions.clamp(-1, 1).to(images.device).expand(len(images), -1, -1, -1)
    parts = zip(images.split(BATCH), inside.split(BATCH), strict=True)
    sampled = [F.grid_sample(part.float(), grid, align_corners=True) for part, grid in parts]
    return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in sampled])


def _moved(images: Tensor, relative: Tensor) -> Tensor:
    positions = F.affine_grid(relative, list(images.shape), align_corners=False)
    taken = F.grid_sample(images.float(), positions, mode="nearest", align_corners=False)
    return taken.to(torch.uint8)

"""Corruptions of digital pictures: contrast, elastic, pixelate and JPEG."""

from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from backaudit.screeners.corruptions.draw import Corruption, Draw
from backaudit.screeners.corruptions.filters import smoothing


def contrast(_: Draw, kept: float) -> Corruption:
    """Bring each channel nearer to its mean, keeping a share of the contrast."""

    def corrupt(images: Tensor) -> Tensor:
        mean = images.mean((2, 3), keepdim=True)
        return (mean + kept * (images - mean)).clamp(0, 1)

    return corrupt


def elastic(draw: Draw, strength: float, smoothness: float, skew: float) -> Corruption:
    """Bend the image.

    Args:
        draw: random numbers.
        strength: of the displacement before it is smoothed, as a share of the side.
        smoothness: standard deviation of the Gaussian that smooths it, as a share of the side.
        skew: how far the corners of a triangle move beforehand, at most, as a share of the side.
    """
    grid = _bent_grid(draw, strength, smoothness, skew)

    def corrupt(images: Tensor) -> Tensor:
        places = grid.expand(len(images), -1, -1, -1)
        bent = F.grid_sample(images, places, padding_mode="reflection", align_corners=False)
        return bent.clamp(0, 1)

    return corrupt


def pixelate(draw: Draw, scale: float) -> Corruption:
    """Average the image over blocks, of which ``scale`` times as many fit in a side as pixels."""
    rows, columns = (
        _boxed(small, side) @ _boxed(side, small)
        for side, small in ((side, max(1, int(side * scale))) for side in draw.sides)
    )
    rows, columns = rows.to(draw.device), columns.to(draw.device)

    def corrupt(images: Tensor) -> Tensor:
        return (rows @ images @ columns.T).clamp(0, 1)

    return corrupt


def jpeg(_: Draw, quality: int) -> Corruption:
    """Compress with the JPEG ``quality``, 1 to 95."""

    def corrupt(images: Tensor) -> Tensor:
        pixels = (255 * images).round().to(torch.uint8).cpu()
        # Only pictures of one or of three channels can be compressed.
        coloured = pixels.shape[1] == 3
        parts = pixels.permute(0, 2, 3, 1) if coloured else pixels.flatten(0, 1)
        arrays = np.stack([_compressed(part, quality) for part in parts.contiguous().numpy()])
        compressed = torch.from_numpy(arrays).to(images.device)
        planes = compressed.permute(0, 3, 1, 2) if coloured else compressed.view(images.shape)
        return planes.float() / 255

    return corrupt


def _compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """A picture (H, W) or (H, W, 3), written as JPEG and read again."""
    # Only here: a benchmark of detectors imports this file and may have no pillow.
    from PIL import Image

    written = BytesIO()
    Image.fromarray(pixels).save(written, "JPEG", quality=quality)
    with Image.open(written) as picture:
        return np.asarray(picture)


def _boxed(before: int, after: int) -> Tensor:
    """Weights (after, before) that resize a side as Pillow's box filter does."""
    ratio = before / after
    centres = (torch.arange(after) + 0.5) * ratio
    distances = (torch.arange(before) + 0.5 - centres[:, None]) / max(ratio, 1.0)
    inside = ((distances > -0.5) & (distances <= 0.5)).float()
    return inside / inside.sum(1, keepdim=True)


def _bent_grid(draw: Draw, strength: float, smoothness: float, skew: float) -> Tensor:
    """Places (1, H, W, 2) to sample from, as (x, y) with the image's edges at -1 and 1."""
    height, width = draw.sides
    side = min(draw.sides)
    shifts = side * strength * draw.uniform(2, height, width, low=-1, high=1)
    vertical, horizontal = (
        smoothing(length, side * smoothness, truncate=3.0).to(draw.device) for length in draw.sides
    )
    down, right = vertical @ shifts @ horizontal.T
    rows = torch.arange(height, device=draw.device).view(-1, 1) + down
    columns = torch.arange(width, device=draw.device) + right
    places = torch.stack([columns, rows, torch.ones_like(rows)], -1) @ _skewing(draw, skew).T
    sides = torch.tensor([width, height], device=draw.device)
    bent: Tensor = (2 * places + 1) / sides - 1
    return bent[None]


def _skewing(draw: Draw, skew: float) -> Tensor:
    """Affine map (2, 3) of (x, y, 1) in pixels that moves three corners at random."""
    height, width = draw.sides
    third = min(draw.sides) // 3
    middle = torch.tensor([width // 2, height // 2], device=draw.device)
    directions = torch.tensor([[1, 1], [1, -1], [-1, -1]], device=draw.device)
    corners = middle + third * directions
    far = min(draw.sides) * skew
    moved = corners + draw.uniform(3, 2, low=-far, high=far)
    ones = torch.ones(3, 1, device=draw.device)
    solved: Tensor = torch.linalg.solve(torch.cat([corners, ones], 1), moved)
    return solved.T

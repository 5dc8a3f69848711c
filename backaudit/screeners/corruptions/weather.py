"""Corruptions by weather: snow, frost, fog and brightness."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backaudit.screeners.corruptions.draw import Corruption, Draw
from backaudit.screeners.corruptions.filters import grey, motion_blurred, zoomed

ICE = (0.88, 0.95, 1.0)


def snow(
    draw: Draw, flakes: tuple[float, float, float, float], smear: tuple[int, float], kept: float
) -> Corruption:
    """Whiten the image and let smeared flakes fall on it.

    Args:
        draw: random numbers.
        flakes: mean and standard deviation of a noise, its enlargement, and the value from which
            it is a flake.
        smear: its radius and fading, in pixels.
        kept: share of the image's own colours.
    """
    mean, deviation, size, least = flakes
    noise = zoomed(mean + deviation * draw.normal(1, 1, *draw.sides), size)
    angle = float(draw.uniform(1, low=-135, high=-45))
    layer = motion_blurred(torch.where(noise < least, 0, noise).clamp(0, 1), *smear, angle)
    fallen = layer + layer.flip(2, 3)

    def corrupt(images: Tensor) -> Tensor:
        whitened = torch.maximum(images, 1.5 * grey(images) + 0.5)
        return (kept * images + (1 - kept) * whitened + fallen).clamp(0, 1)

    return corrupt


def frost(draw: Draw, kept: float, weight: float) -> Corruption:
    """Lay ice crystals over the image: bright ridges of a drawn texture, not photographs."""
    texture = ice(draw)

    def corrupt(images: Tensor) -> Tensor:
        return (kept * images + weight * texture).clamp(0, 1)

    return corrupt


def fog(draw: Draw, weight: float, decay: float) -> Corruption:
    """Add a cloud that is rough at all scales and darken the whole to the old brightness."""
    cloud = weight * plasma(draw, decay)

    def corrupt(images: Tensor) -> Tensor:
        brightest = images.amax((1, 2, 3), keepdim=True)
        return ((images + cloud) * brightest / (brightest + weight)).clamp(0, 1)

    return corrupt


def brightness(_: Draw, added: float) -> Corruption:
    """Add to the value of each colour, which keeps its hue and saturation."""

    def corrupt(images: Tensor) -> Tensor:
        value = images.amax(1, keepdim=True)
        brighter = (value + added).clamp(0, 1)
        return torch.where(value > 0, images * brighter / value.clamp_min(1e-12), brighter)

    return corrupt


def ice(draw: Draw) -> Tensor:
    """Texture (C, H, W) in [0, 1] of thin bright ridges, coarse and fine, in the colour of ice."""
    layers = []
    for octave, field in enumerate(draw.normal(4, 1, 1, *draw.sides).unbind()):
        cells = [min(side, 3 * 2**octave) for side in draw.sides]
        coarse = field[:, :, : cells[0], : cells[1]]
        smooth = F.interpolate(coarse, draw.sides, mode="bicubic", align_corners=True)
        layers.append((1 - smooth.abs()).clamp(0, 1) ** 2 / 1.5**octave)
    texture = torch.stack(layers).sum(0)[0]
    texture = texture / texture.max()
    colour = ICE if draw.shape[0] == 3 else (1.0,) * draw.shape[0]
    return texture * torch.tensor(colour, device=draw.device).view(-1, 1, 1)


def plasma(draw: Draw, decay: float) -> Tensor:
    """Heights (H, W) from 0 to 1 by the diamond-square method, on a map that wraps around.

    Args:
        draw: random numbers.
        decay: how much smoother each finer scale is, above 1.
    """
    size = 1 << (max(2, *draw.sides) - 1).bit_length()
    generator, heights, amplitude = draw.generator(), torch.zeros(1, 1), 1.0
    while len(heights) < size:
        jitter = amplitude * (2 * torch.rand(3, *heights.shape, generator=generator) - 1)
        heights = _finer(heights, jitter)
        # Both the jitter and the factor on it decay in the published code.
        amplitude /= decay**2
    heights = heights - heights.min()
    height, width = draw.sides
    return (heights / heights.max())[:height, :width].to(draw.device)


def _finer(heights: Tensor, jitter: Tensor) -> Tensor:
    """Put new points between those of a map (S, S): one in each square, then one on each side."""
    below, right = heights.roll(-1, 0), heights.roll(-1, 1)
    middle = (heights + below + right + below.roll(-1, 1)) / 4 + jitter[0]
    on_top = (heights + right + middle + middle.roll(1, 0)) / 4 + jitter[1]
    on_left = (heights + below + middle + middle.roll(1, 1)) / 4 + jitter[2]
    upper = torch.stack([heights, on_top], -1).flatten(1)
    lower = torch.stack([on_left, middle], -1).flatten(1)
    return torch.stack([upper, lower], 1).flatten(0, 1)

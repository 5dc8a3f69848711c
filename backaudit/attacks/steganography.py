"""Networks that hide bits in an image and read them again, built as those of StegaStamp."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Encoder(nn.Module):
    """A U-shaped network that says what to add to an image so that it carries the bits.

    Args:
        shape: (C, H, W) of the images.
        bits: number of bits.
        width: channels of the first convolution.
    """

    def __init__(self, shape: Sequence[int], bits: int, width: int = 32) -> None:
        super().__init__()
        channels, height, side = shape
        self.spread = nn.Linear(bits, channels * height * side)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        first, before = 2 * channels, [2 * channels, *widths[:-1]]
        self.down = nn.ModuleList(
            _convolution(ahead, wide, stride=1 if level == 0 else 2)
            for level, (ahead, wide) in enumerate(zip(before, widths, strict=True))
        )
        self.up = nn.ModuleList(_convolution(deep, wide, 2) for wide, deep in pairwise(widths))
        # The shallowest sees the input once more.
        joined = [2 * wide + (first if level == 0 else 0) for level, wide in enumerate(widths)]
        self.join = nn.ModuleList(
            _convolution(wide, out) for wide, out in zip(joined[:-1], widths, strict=False)
        )
        self.residual = nn.Conv2d(width, channels, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor, bits: Tensor) -> Tensor:
        """What to add (N, C, H, W) to images (N, C, H, W) in [0, 1] for bits (N, B) of 0 and 1."""
        plane = F.relu(self.spread(bits - 0.5)).reshape(images.shape)
        both = torch.cat([plane, images - 0.5], dim=1)
        passed = [both]
        for down in self.down:
            passed.append(F.relu(down(passed[-1])))
        _, *skipped, x = passed
        for up, join, skip in reversed(list(zip(self.up, self.join, skipped, strict=True))):
            x = F.relu(up(F.pad(F.interpolate(x, skip.shape[2:]), (0, 1, 0, 1))))
            more = [both] if skip is skipped[0] else []
            x = F.relu(join(torch.cat([skip, x, *more], dim=1)))
        residual: Tensor = self.residual(x)
        return residual


class Decoder(nn.Module):
    """A network that straightens an image and reads the bits in it.

    Args:
        shape: (C, H, W) of the images.
        bits: number of bits.
        width: channels of the first convolution.
    """

    def __init__(self, shape: Sequence[int], bits: int, width: int = 32) -> None:
        super().__init__()
        channels, height, side = shape
        self.look = _reduced(channels, [(width, 2), (2 * width, 2), (4 * width, 2)])
        seen = 4 * width * _halved(height, 3) * _halved(side, 3)
        place = nn.Linear(128, 6)
        place.weight.data.zero_()
        place.bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
        self.turn = nn.Sequential(nn.Linear(seen, 128), nn.ReLU(), place)
        wide = 2 * width
        layers = [(width, 2), (width, 1), (wide, 2), (wide, 1), (wide, 2), (2 * wide, 2)]
        self.read = _reduced(channels, [*layers, (2 * wide, 2)])
        left = 2 * wide * _halved(height, 5) * _halved(side, 5)
        self.tell = nn.Sequential(nn.Linear(left, 512), nn.ReLU(), nn.Linear(512, bits))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, B) of the bits in images (N, C, H, W) in [0, 1]."""
        x = images - 0.5
        placed = self.turn(self.look(x).flatten(1)).view(-1, 2, 3)
        grid = F.affine_grid(placed, list(x.shape), align_corners=False)
        straight = F.grid_sample(x, grid, align_corners=False)
        logits: Tensor = self.tell(self.read(straight).flatten(1))
        return logits


def _convolution(before: int, after: int, size: int = 3, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, size, stride, padding=1 if size == 3 else 0)


def _reduced(channels: int, layers: list[tuple[int, int]]) -> nn.Sequential:
    """Convolutions with a width and a stride each."""
    reduced = nn.Sequential()
    for width, stride in layers:
        reduced.extend([_convolution(channels, width, stride=stride), nn.ReLU()])
        channels = width
    return reduced


def _halved(length: int, times: int) -> int:
    return -(-length // (1 << times))

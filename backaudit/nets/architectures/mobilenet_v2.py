"""MobileNetV2 for small images: the stem and the second stage keep the resolution.

Paper: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018.
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.nets.architectures.candidate import Candidate, Shapes, kernel, matrix

EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)
BLOCKS = (1, 2, 3, 4, 3, 3, 1)
STRIDES = (1, 1, 2, 2, 1, 2, 1)
# Channels of the stem, of each stage, and before the head.
WIDTHS = (32, 16, 24, 32, 64, 96, 160, 320, 1280)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; added to a shortcut where the resolution stays."""

    def __init__(self, channels: int, out: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = expansion * channels
        self.conv1 = nn.Conv2d(channels, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.conv3 = nn.Conv2d(wide, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.adds = stride == 1
        self.shortcut = nn.Sequential()
        if self.adds and channels != out:
            self.shortcut.append(nn.Conv2d(channels, out, 1, bias=False))
            self.shortcut.append(nn.BatchNorm2d(out))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        features = F.relu(self.bn1(self.conv1(images)))
        features = F.relu(self.bn2(self.conv2(features)))
        projected: Tensor = self.bn3(self.conv3(features))
        return projected + self.shortcut(images) if self.adds else projected


class MobileNetV2(nn.Module):
    """MobileNetV2 with the channels ``widths``, see ``WIDTHS``."""

    def __init__(self, widths: tuple[int, ...], num_classes: int, in_channels: int) -> None:
        super().__init__()
        stem, *stages, last = widths
        self.conv1 = nn.Conv2d(in_channels, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layers = nn.Sequential()
        channels = stem
        for out, expansion, number, stride in zip(stages, EXPANSIONS, BLOCKS, STRIDES, strict=True):
            for index in range(number):
                first = stride if index == 0 else 1
                self.layers.append(InvertedResidual(channels, out, expansion, first))
                channels = out
        self.conv2 = nn.Conv2d(channels, last, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(last)
        self.linear = nn.Linear(last, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, K)."""
        features = self.layers(F.relu(self.bn1(self.conv1(images))))
        features = F.relu(self.bn2(self.conv2(features)))
        logits: Tensor = self.linear(torch.flatten(F.adaptive_avg_pool2d(features, 1), 1))
        return logits


def mobilenet_v2(*, num_classes: int = 10, width: int = 32, in_channels: int = 3) -> MobileNetV2:
    """Build MobileNetV2; ``width`` is that of the stem, 32 in the paper; the others follow."""
    widths = tuple(max(1, usual * width // WIDTHS[0]) for usual in WIDTHS)
    return MobileNetV2(widths, num_classes, in_channels)


def propose(shapes: Shapes) -> Iterator[Candidate]:
    """Propose the MobileNetV2 that the shapes describe, if they do."""
    firsts = [sum(BLOCKS[:stage]) for stage in range(len(BLOCKS))]
    names = ["conv1", *(f"layers.{index}.conv3" for index in firsts), "conv2"]
    read = [kernel(shapes, name) for name in names]
    stem, head = read[0], matrix(shapes, "linear")
    if stem is None or head is None or None in read:
        return
    widths = tuple(size[0] for size in read if size is not None)
    usual = widths == tuple(max(1, width * stem[0] // WIDTHS[0]) for width in WIDTHS)
    options = f"width={stem[0]}" if usual else f"widths={'-'.join(map(str, widths))}"
    build = partial(MobileNetV2, widths, head[0], stem[1])
    yield Candidate(f"mobilenetv2-cifar({options})", build, 32)

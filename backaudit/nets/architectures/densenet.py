"""DenseNets for small images: 3x3 stem, ``dense1.0.conv1`` and ``trans1.conv``.

Paper: Huang et al., Densely Connected Convolutional Networks, CVPR 2017.
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.nets.architectures.candidate import Candidate, Shapes, count, kernel, matrix

BLOCKS = {
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    161: (6, 12, 36, 24),
}


class DenseLayer(nn.Module):
    """A bottleneck whose output is put in front of its input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, growth + C, H, W)."""
        features = self.conv1(F.relu(self.bn1(images)))
        features = self.conv2(F.relu(self.bn2(features)))
        return torch.cat([features, images], dim=1)


class Transition(nn.Module):
    """Halves the channels and the resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C / 2, H / 2, W / 2)."""
        return F.avg_pool2d(self.conv(F.relu(self.bn(images))), 2)


class DenseNet(nn.Module):
    """A DenseNet of any number of stages.

    Args:
        blocks: layers of each stage.
        growth: channels each layer adds (k).
        num_classes: number of outputs.
        in_channels: of the images.
    """

    def __init__(
        self, blocks: tuple[int, ...], growth: int, num_classes: int, in_channels: int
    ) -> None:
        super().__init__()
        channels = 2 * growth
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.num_stages = len(blocks)
        for index, number in enumerate(blocks, start=1):
            layers = nn.Sequential()
            for _ in range(number):
                layers.append(DenseLayer(channels, growth))
                channels += growth
            self.add_module(f"dense{index}", layers)
            if index < len(blocks):
                self.add_module(f"trans{index}", Transition(channels))
                channels //= 2
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, K)."""
        features = self.conv1(images)
        for index in range(1, self.num_stages + 1):
            features = self.get_submodule(f"dense{index}")(features)
            if index < self.num_stages:
                features = self.get_submodule(f"trans{index}")(features)
        pooled = F.adaptive_avg_pool2d(F.relu(self.bn(features)), 1)
        logits: Tensor = self.linear(torch.flatten(pooled, 1))
        return logits


def densenet(
    depth: int, *, num_classes: int = 10, width: int = 32, in_channels: int = 3
) -> DenseNet:
    """Build the DenseNet of a depth; ``width`` is its growth, 32 in the paper."""
    return DenseNet(BLOCKS[depth], width, num_classes, in_channels)


def propose(shapes: Shapes) -> Iterator[Candidate]:
    """Propose the DenseNet that the shapes describe, if they do."""
    stem, head = kernel(shapes, "conv1"), matrix(shapes, "linear")
    last = kernel(shapes, "dense1.0.conv2")
    if not (stem and head and last):
        return
    stages = range(1, 1 + count(shapes, "dense{}.0.conv1.weight", start=1))
    blocks = tuple(count(shapes, f"dense{index}.{{}}.conv1.weight") for index in stages)
    depth = next((depth for depth, usual in BLOCKS.items() if usual == blocks), None)
    depth = depth or 2 * sum(blocks) + len(blocks) + 1
    build = partial(DenseNet, blocks, last[0], head[0], stem[1])
    yield Candidate(f"densenet{depth}-cifar(growth={last[0]})", build, 32)

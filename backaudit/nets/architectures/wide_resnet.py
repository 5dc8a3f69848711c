"""Wide ResNets for small images, with the names ``block1.layer.0.bn1`` and ``convShortcut``.

Paper: Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016.
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.nets.architectures.candidate import Candidate, Shapes, count, kernel, matrix


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU, added to a shortcut."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.projects = channels != out
        if self.projects:
            self.convShortcut = nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        active = F.relu(self.bn1(images))
        kept = self.convShortcut(active) if self.projects else images
        features: Tensor = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return features + kept


class WideStage(nn.Module):
    """Blocks of one resolution, in ``layer``."""

    def __init__(self, channels: int, out: int, blocks: int, stride: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(WideBlock(channels, out, stride))
        for _ in range(blocks - 1):
            self.layer.append(WideBlock(out, out, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        features: Tensor = self.layer(images)
        return features


class WideResNet(nn.Module):
    """A wide ResNet of three stages.

    Args:
        widths: channels of the stem and of each stage.
        blocks: blocks of each stage.
        num_classes: number of outputs.
        in_channels: of the images.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int],
        blocks: tuple[int, int, int],
        num_classes: int,
        in_channels: int,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.block1 = WideStage(widths[0], widths[1], blocks[0], 1)
        self.block2 = WideStage(widths[1], widths[2], blocks[1], 2)
        self.block3 = WideStage(widths[2], widths[3], blocks[2], 2)
        self.bn1 = nn.BatchNorm2d(widths[3])
        self.fc = nn.Linear(widths[3], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, K)."""
        features = self.block3(self.block2(self.block1(self.conv1(images))))
        pooled = F.adaptive_avg_pool2d(F.relu(self.bn1(features)), 1)
        logits: Tensor = self.fc(torch.flatten(pooled, 1))
        return logits


def wide_resnet(
    *,
    num_classes: int = 10,
    depth: int = 16,
    widen: int = 1,
    width: int = 16,
    in_channels: int = 3,
) -> WideResNet:
    """Build WRN-depth-widen; ``width`` is that of the stem, 16 in the paper."""
    number = (depth - 4) // 6
    widths = (width, width * widen, 2 * width * widen, 4 * width * widen)
    return WideResNet(widths, (number, number, number), num_classes, in_channels)


def propose(shapes: Shapes) -> Iterator[Candidate]:
    """Propose the wide ResNet that the shapes describe, if they do."""
    stem, head = kernel(shapes, "conv1"), matrix(shapes, "fc")
    stages = [kernel(shapes, f"block{index}.layer.0.conv1") for index in (1, 2, 3)]
    first, second, third = stages
    if not (stem and head and first and second and third):
        return
    widths = (stem[0], first[0], second[0], third[0])
    one, two, three = (
        count(shapes, f"block{index}.layer.{{}}.conv1.weight") for index in (1, 2, 3)
    )
    build = partial(WideResNet, widths, (one, two, three), head[0], stem[1])
    yield Candidate(_name(widths, (one, two, three)), build, 32)


def _name(widths: tuple[int, ...], blocks: tuple[int, ...]) -> str:
    depth, (stem, first, second, third) = 2 * sum(blocks) + 4, widths
    if stem and first % stem == 0 and (second, third) == (2 * first, 4 * first):
        name = f"wrn-{depth}-{first // stem}"
        return name if stem == 16 else f"{name}(width={stem})"
    return f"wrn-{depth}(widths={'-'.join(map(str, widths))})"

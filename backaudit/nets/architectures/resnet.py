"""ResNets for small images: 3x3 stem, any width and depth, the key names of the common codebases.

Papers: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2 for the
narrow ones with parameter-free shortcuts; Xie et al., CVPR 2017, for grouped bottlenecks.
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.nets.architectures.candidate import Candidate, Shapes
from backaudit.nets.architectures.residual_plan import (
    BASIC,
    BOTTLENECK,
    ResidualPlan,
    Stage,
    planned,
    read_residual_plan,
)

IMAGENET_KERNEL = 7


class PaddedShortcut(nn.Module):
    """Option A: every second pixel, with channels of zeros on both sides."""

    def __init__(self, added: int, stride: int) -> None:
        super().__init__()
        self.added, self.stride = added, stride

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + added, H / stride, W / stride)."""
        thinned = images[:, :, :: self.stride, :: self.stride]
        before = self.added // 2
        return F.pad(thinned, (0, 0, 0, 0, before, self.added - before))


class ResidualBlock(nn.Module):
    """Convolutions with batch norm, added to a shortcut."""

    def __init__(self, plan: ResidualPlan, stage: Stage, channels: int, stride: int) -> None:
        super().__init__()
        width, out = stage.width, stage.channels
        if plan.bottleneck:
            self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(
                width, width, 3, stride, padding=1, groups=stage.groups, bias=False
            )
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, out, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(out)
        else:
            self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, out, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(out)
        self.bottleneck = plan.bottleneck
        self.shortcut_name = plan.shortcut or "shortcut"
        self.add_module(self.shortcut_name, _shortcut(plan, channels, out, stride))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        features = F.relu(self.bn1(self.conv1(images)))
        features = self.bn2(self.conv2(features))
        if self.bottleneck:
            features = self.bn3(self.conv3(F.relu(features)))
        return F.relu(features + self.get_submodule(self.shortcut_name)(images))


def _shortcut(plan: ResidualPlan, channels: int, out: int, stride: int) -> nn.Module:
    if stride == 1 and channels == out:
        return nn.Identity()
    if not plan.shortcut:
        return PaddedShortcut(out - channels, stride)
    projection = nn.Conv2d(channels, out, 1, stride, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(out))


class ResNet(nn.Module):
    """A ResNet as planned; a 7x7 stem has stride 2 and max pooling, a smaller one has neither."""

    def __init__(self, plan: ResidualPlan) -> None:
        super().__init__()
        channels, size = plan.stem
        coarse = size == IMAGENET_KERNEL
        self.conv1 = nn.Conv2d(
            plan.in_channels, channels, size, 2 if coarse else 1, padding=size // 2, bias=False
        )
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if coarse else nn.Identity()
        self.num_stages = len(plan.stages)
        for index, stage in enumerate(plan.stages):
            blocks = nn.Sequential()
            for number in range(stage.blocks):
                stride = 2 if index > 0 and number == 0 else 1
                blocks.append(ResidualBlock(plan, stage, channels, stride))
                channels = stage.channels
            self.add_module(f"layer{index + 1}", blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(plan.grid)
        self.head_name = plan.head
        self.add_module(plan.head, nn.Linear(channels * plan.grid**2, plan.num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, K)."""
        features = self.maxpool(F.relu(self.bn1(self.conv1(images))))
        for index in range(self.num_stages):
            features = self.get_submodule(f"layer{index + 1}")(features)
        pooled = torch.flatten(self.avgpool(features), 1)
        logits: Tensor = self.get_submodule(self.head_name)(pooled)
        return logits


def resnet(
    depth: int,
    blocks: tuple[int, ...] | None = None,
    *,
    num_classes: int = 10,
    width: int = 64,
    in_channels: int = 3,
) -> ResNet:
    """Build the four-stage ResNet of a depth, 3x3 stem, shortcuts with a convolution."""
    bottleneck = depth in BOTTLENECK
    blocks = blocks or BOTTLENECK.get(depth) or BASIC[depth]
    return ResNet(planned(blocks, num_classes, width, in_channels, bottleneck=bottleneck))


def narrow_resnet(
    depth: int, *, num_classes: int = 10, width: int = 16, in_channels: int = 3
) -> ResNet:
    """Build the three-stage ResNet-20, 32, 44, 56, ... whose shortcuts have no parameters."""
    blocks = ((depth - 2) // 6,) * 3
    return ResNet(planned(blocks, num_classes, width, in_channels, shortcut=""))


def propose(shapes: Shapes) -> Iterator[Candidate]:
    """Propose the ResNet that the shapes describe, if they do."""
    plan = read_residual_plan(shapes)
    if plan is None or plan.final_norm or "bn1.weight" not in shapes:
        return
    coarse = plan.stem[1] == IMAGENET_KERNEL
    size = 224 if coarse else 32 * plan.grid
    name, assumption = _name(plan, coarse), _assumption(plan, coarse)
    yield Candidate(name, partial(ResNet, plan), size, assumption, fallback=coarse)


def _name(plan: ResidualPlan, coarse: bool) -> str:
    known = BOTTLENECK if plan.bottleneck else BASIC
    options = plan.options(known.get(plan.depth))
    if coarse:
        return f"resnet{plan.depth}-7x7{options}"
    if len(plan.stages) == 3 and not plan.bottleneck:
        return f"resnet{plan.depth}{'-b' if plan.shortcut else ''}{options}"
    return f"resnet{plan.depth}-cifar{options}"


def _assumption(plan: ResidualPlan, coarse: bool) -> str:
    if not plan.shortcut:
        return "Shortcuts without parameters were taken as option A: subsampled, padded with zeros."
    if coarse:
        return "The 7x7 stem was taken as stride 2 followed by max pooling."
    return "The 3x3 stem was taken as stride 1 without max pooling."

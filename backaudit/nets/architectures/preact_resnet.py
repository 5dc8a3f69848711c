"""Pre-activation ResNets for small images: no norm after the stem, and usually none at the end.

Paper: He et al., Identity Mappings in Deep Residual Networks, ECCV 2016.
"""

from collections.abc import Iterator
from dataclasses import replace
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


class PreActBlock(nn.Module):
    """Batch norm and ReLU before each convolution, added to a shortcut."""

    def __init__(self, plan: ResidualPlan, stage: Stage, channels: int, stride: int) -> None:
        super().__init__()
        width, out = stage.width, stage.channels
        self.bn1 = nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm2d(width)
        if plan.bottleneck:
            self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
            self.conv2 = nn.Conv2d(
                width, width, 3, stride, padding=1, groups=stage.groups, bias=False
            )
            self.bn3 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        else:
            self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
            self.conv2 = nn.Conv2d(width, out, 3, padding=1, bias=False)
        self.bottleneck = plan.bottleneck
        self.projects = stride != 1 or channels != out
        self.shortcut_name = plan.shortcut or "shortcut"
        if self.projects:
            projection = nn.Conv2d(channels, out, 1, stride, bias=False)
            self.add_module(self.shortcut_name, nn.Sequential(projection))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        active = F.relu(self.bn1(images))
        kept = self.get_submodule(self.shortcut_name)(active) if self.projects else images
        features = self.conv2(F.relu(self.bn2(self.conv1(active))))
        if self.bottleneck:
            features = self.conv3(F.relu(self.bn3(features)))
        total: Tensor = features + kept
        return total


class PreActResNet(nn.Module):
    """A pre-activation ResNet as planned."""

    def __init__(self, plan: ResidualPlan) -> None:
        super().__init__()
        channels, size = plan.stem
        self.conv1 = nn.Conv2d(plan.in_channels, channels, size, padding=size // 2, bias=False)
        self.num_stages = len(plan.stages)
        for index, stage in enumerate(plan.stages):
            blocks = nn.Sequential()
            for number in range(stage.blocks):
                stride = 2 if index > 0 and number == 0 else 1
                blocks.append(PreActBlock(plan, stage, channels, stride))
                channels = stage.channels
            self.add_module(f"layer{index + 1}", blocks)
        self.final_norm = plan.final_norm
        if plan.final_norm:
            self.bn = nn.BatchNorm2d(channels)
        self.avgpool = nn.AdaptiveAvgPool2d(plan.grid)
        self.head_name = plan.head
        self.add_module(plan.head, nn.Linear(channels * plan.grid**2, plan.num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, K)."""
        features = self.conv1(images)
        for index in range(self.num_stages):
            features = self.get_submodule(f"layer{index + 1}")(features)
        if self.final_norm:
            features = F.relu(self.bn(features))
        pooled = torch.flatten(self.avgpool(features), 1)
        logits: Tensor = self.get_submodule(self.head_name)(pooled)
        return logits


def preact_resnet(
    depth: int, *, num_classes: int = 10, width: int = 64, in_channels: int = 3
) -> PreActResNet:
    """Build the four-stage pre-activation ResNet of a depth."""
    bottleneck = depth in BOTTLENECK
    blocks = BOTTLENECK.get(depth) or BASIC[depth]
    return PreActResNet(planned(blocks, num_classes, width, in_channels, bottleneck=bottleneck))


def propose(shapes: Shapes) -> Iterator[Candidate]:
    """Propose the pre-activation ResNet that the shapes describe, if they do."""
    plan = read_residual_plan(shapes)
    if plan is None or "bn1.weight" in shapes:
        return
    known = BOTTLENECK if plan.bottleneck else BASIC
    name = f"preactresnet{plan.depth}{plan.options(known.get(plan.depth))}"
    plan = replace(plan, shortcut=plan.shortcut or "shortcut")
    yield Candidate(name, partial(PreActResNet, plan), 32 * plan.grid)

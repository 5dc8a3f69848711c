"""The numbers that make a member of the residual families, and how to read them from shapes."""

from dataclasses import dataclass
from math import isqrt

from backaudit.nets.architectures.candidate import Shapes, count, kernel, matrix

BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks of each stage by depth, for blocks of two convolutions and for bottlenecks (He et al.,
CVPR 2016, Table 1)."""


@dataclass(frozen=True)
class Stage:
    """Blocks of one resolution.

    Args:
        width: output channels of the blocks' 3x3 convolutions.
        channels: output channels of the stage; the width, unless blocks are bottlenecks.
        blocks: how many blocks.
        groups: of the bottlenecks' 3x3 convolutions.
    """

    width: int
    channels: int
    blocks: int
    groups: int = 1


@dataclass(frozen=True)
class ResidualPlan:
    """A ResNet or PreActResNet, completely described.

    Args:
        stages: from the finest resolution to the coarsest; each but the first halves it.
        num_classes: number of outputs.
        in_channels: of the images.
        stem: output channels and kernel size of the first convolution.
        bottleneck: whether blocks are 1x1, 3x3, 1x1 instead of 3x3, 3x3.
        shortcut: name of the shortcuts' convolutions; empty if shortcuts have no parameters.
        head: name of the last linear layer.
        grid: height and width of what is left before the head.
        final_norm: whether batch norm ``bn`` stands before the pooling (pre-activation only).
    """

    stages: tuple[Stage, ...]
    num_classes: int
    in_channels: int = 3
    stem: tuple[int, int] = (64, 3)
    bottleneck: bool = False
    shortcut: str = "shortcut"
    head: str = "linear"
    grid: int = 1
    final_norm: bool = False

    @property
    def depth(self) -> int:
        """Number of layers as the papers count them."""
        return (3 if self.bottleneck else 2) * sum(stage.blocks for stage in self.stages) + 2

    def options(self, usual_blocks: tuple[int, ...] | None) -> str:
        """Say in brackets what the name of the architecture leaves open."""
        widths = [stage.width for stage in self.stages]
        doubling = widths == [widths[0] * 2**index for index in range(len(widths))]
        texts = [f"width={widths[0]}" if doubling else f"widths={'-'.join(map(str, widths))}"]
        blocks = tuple(stage.blocks for stage in self.stages)
        if blocks != (usual_blocks or blocks[:1] * len(blocks)):
            texts.append(f"blocks={'-'.join(map(str, blocks))}")
        if self.stages[0].groups > 1:
            texts.append(f"groups={self.stages[0].groups}")
        return f"({', '.join(texts)})"


def planned(
    blocks: tuple[int, ...],
    num_classes: int,
    width: int,
    in_channels: int = 3,
    *,
    bottleneck: bool = False,
    shortcut: str = "shortcut",
) -> ResidualPlan:
    """Plan a network whose width doubles at each stage."""
    expansion = 4 if bottleneck else 1
    widths = [width * 2**index for index in range(len(blocks))]
    stages = tuple(
        Stage(width, width * expansion, number)
        for width, number in zip(widths, blocks, strict=True)
    )
    return ResidualPlan(
        stages,
        num_classes,
        in_channels,
        stem=(width, 3),
        bottleneck=bottleneck,
        shortcut=shortcut,
    )


def read_residual_plan(shapes: Shapes) -> ResidualPlan | None:
    """Read a plan from tensors named ``conv1``, ``layer1.0.conv1``, ..., and a linear head."""
    stem = kernel(shapes, "conv1")
    head = next((name for name in ("linear", "fc") if matrix(shapes, name)), None)
    bottleneck = "layer1.0.conv3.weight" in shapes
    stages = _read_stages(shapes, bottleneck)
    if stem is None or head is None or not stages:
        return None
    num_classes, features = matrix(shapes, head) or (0, 0)
    firsts = [f"layer{index + 1}.0" for index in range(len(stages))]
    named = [
        name
        for name in ("shortcut", "downsample")
        if any(f"{first}.{name}.0.weight" in shapes for first in firsts)
    ]
    return ResidualPlan(
        stages,
        num_classes,
        in_channels=stem[1],
        stem=(stem[0], stem[2]),
        bottleneck=bottleneck,
        shortcut=named[0] if named else "",
        head=head,
        grid=max(1, isqrt(features // stages[-1].channels)),
        final_norm="bn.weight" in shapes,
    )


def _read_stages(shapes: Shapes, bottleneck: bool) -> tuple[Stage, ...]:
    stages = []
    for index in range(1, 1 + count(shapes, "layer{}.0.conv1.weight", start=1)):
        inner = kernel(shapes, f"layer{index}.0.conv2")
        outer = kernel(shapes, f"layer{index}.0.conv{3 if bottleneck else 2}")
        if inner is None or outer is None or 0 in inner + outer:
            return ()
        groups = inner[0] // inner[1] if bottleneck else 1
        if groups == 0 or inner[0] % groups:
            return ()
        blocks = count(shapes, f"layer{index}.{{}}.conv1.weight")
        stages.append(Stage(inner[0], outer[0], blocks, groups))
    return tuple(stages)

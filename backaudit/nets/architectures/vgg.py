"""VGGs for small images: ``features.N``, then one linear layer.

Paper: Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015; batch norm added.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from backaudit.nets.architectures.candidate import Candidate, Shapes, kernel, matrix

# Convolutions of each stage; a stage ends with max pooling.
STAGES = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


class VGG(nn.Module):
    """A VGG whose five stages reduce 32 pixels to one.

    Args:
        stages: channels of each convolution of each stage.
        num_classes: number of outputs.
        in_channels: of the images.
        batch_norm: whether batch norm follows each convolution.
    """

    def __init__(
        self,
        stages: tuple[tuple[int, ...], ...],
        num_classes: int,
        in_channels: int,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        channels = in_channels
        for stage in stages:
            for out in stage:
                self.features.append(nn.Conv2d(channels, out, 3, padding=1))
                if batch_norm:
                    self.features.append(nn.BatchNorm2d(out))
                self.features.append(nn.ReLU())
                channels = out
            self.features.append(nn.MaxPool2d(2))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)
        if not batch_norm:
            self.features.apply(_keep_variance)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, K)."""
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(images)), 1))
        return logits


def _keep_variance(layer: nn.Module) -> None:
    """Draw weights as He et al. (2015) do: with torch's usual ones signals fade without norms."""
    if isinstance(layer, nn.Conv2d) and layer.bias is not None:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)


def vgg(
    depth: int,
    *,
    num_classes: int = 10,
    width: int = 64,
    in_channels: int = 3,
    batch_norm: bool = True,
) -> VGG:
    """Build the VGG of a depth; ``width`` is that of the first stage, 64 in the paper."""
    widths = (width, 2 * width, 4 * width, 8 * width, 8 * width)
    stages = tuple((out,) * number for out, number in zip(widths, STAGES[depth], strict=True))
    return VGG(stages, num_classes, in_channels, batch_norm)


def propose(shapes: Shapes) -> Iterator[Candidate]:
    """Propose the VGG that the shapes describe, if they do."""
    head = matrix(shapes, "classifier")
    convolutions = _convolutions(shapes)
    if head is None or not convolutions:
        return
    batch_norm = "features.1.running_mean" in shapes
    stages = _stages(convolutions, step=3 if batch_norm else 2)
    # Five halvings bring 32 pixels to one; with fewer, shapes do not tell how the rest is pooled.
    if len(stages) != 5:
        return
    in_channels = convolutions[0][1][1]
    suffix = "-bn-cifar" if batch_norm else "-cifar"
    name = f"vgg{len(convolutions) + 3}{suffix}{_options(stages)}"
    yield Candidate(name, partial(VGG, stages, head[0], in_channels, batch_norm), 32)


def _convolutions(shapes: Shapes) -> list[tuple[int, tuple[int, int, int]]]:
    """Index N and (out, in, size) of each convolution ``features.N``, in order."""
    indices = {
        int(name.split(".")[1])
        for name in shapes
        if name.startswith("features.") and name.count(".") == 2 and name.split(".")[1].isdigit()
    }
    found = ((index, kernel(shapes, f"features.{index}")) for index in sorted(indices))
    return [(index, size) for index, size in found if size is not None]


def _stages(
    convolutions: list[tuple[int, tuple[int, int, int]]], step: int
) -> tuple[tuple[int, ...], ...]:
    """Cut where the index leaves room for one pooling layer; () where it leaves room for more."""
    stages = [[convolutions[0][1][0]]]
    for (before, _), (index, (out, _, _)) in pairwise(convolutions):
        if index - before == step:
            stages[-1].append(out)
        elif index - before == step + 1:
            stages.append([out])
        else:
            return ()
    return tuple(tuple(stage) for stage in stages)


def _options(stages: tuple[tuple[int, ...], ...]) -> str:
    width = stages[0][0]
    usual = (width, 2 * width, 4 * width, 8 * width, 8 * width)
    if all(set(stage) == {out} for stage, out in zip(stages, usual, strict=True)):
        return f"(width={width})"
    return f"(widths={'-'.join(str(out) for stage in stages for out in stage)})"

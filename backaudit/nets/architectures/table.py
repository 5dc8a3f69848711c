"""Every architecture of our own, by name, and what given shapes could belong to."""

from collections.abc import Callable
from functools import partial

from torch import nn

from backaudit.nets.architectures import (
    densenet,
    mobilenet_v2,
    preact_resnet,
    resnet,
    vgg,
    wide_resnet,
)
from backaudit.nets.architectures.candidate import Candidate, Shapes

# Each is called with keywords: num_classes, width and in_channels; wrn also takes depth and widen.
ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "resnet10-cifar": partial(resnet.resnet, 10, (1, 1, 1, 1)),
    **{f"resnet{depth}-cifar": partial(resnet.resnet, depth) for depth in (18, 34, 50, 101, 152)},
    **{f"resnet{depth}": partial(resnet.narrow_resnet, depth) for depth in (20, 32, 44, 56, 110)},
    **{
        f"preactresnet{depth}": partial(preact_resnet.preact_resnet, depth)
        for depth in (18, 34, 50)
    },
    "wrn": wide_resnet.wide_resnet,
    **{f"vgg{depth}-bn-cifar": partial(vgg.vgg, depth) for depth in vgg.STAGES},
    **{f"vgg{depth}-cifar": partial(vgg.vgg, depth, batch_norm=False) for depth in vgg.STAGES},
    **{f"densenet{depth}-cifar": partial(densenet.densenet, depth) for depth in densenet.BLOCKS},
    "mobilenetv2-cifar": mobilenet_v2.mobilenet_v2,
}

FAMILIES = (
    resnet.propose,
    preact_resnet.propose,
    wide_resnet.propose,
    vgg.propose,
    densenet.propose,
    mobilenet_v2.propose,
)


def candidates(shapes: Shapes) -> list[Candidate]:
    """Propose the members of our families that tensors of these names and shapes could be from."""
    return [candidate for propose in FAMILIES for candidate in propose(shapes)]

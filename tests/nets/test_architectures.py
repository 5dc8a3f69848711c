from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from backaudit.nets.architectures import ARCHITECTURES, candidates
from backaudit.nets.architectures.preact_resnet import PreActResNet
from backaudit.nets.architectures.residual_plan import Stage, planned
from backaudit.nets.architectures.resnet import ResNet
from backaudit.nets.architectures.vgg import VGG
from backaudit.nets.architectures.wide_resnet import WideResNet

Shapes = dict[str, tuple[int, ...]]
PLAN = planned((1, 2, 1, 1), 7, 4)

# Key names that public checkpoints have, as facts about each codebase.
KEYS = {
    "resnet18-cifar": ["conv1.weight", "layer2.0.shortcut.1.running_var", "linear.bias"],
    "resnet50-cifar": ["layer1.0.conv3.weight", "layer1.0.shortcut.0.weight"],
    "resnet20": ["layer3.2.bn2.weight", "linear.weight"],
    "preactresnet18": ["layer1.0.bn1.weight", "layer4.0.shortcut.0.weight", "linear.weight"],
    "wrn": [
        "block1.layer.0.bn1.weight",
        "block2.layer.0.convShortcut.weight",
        "bn1.bias",
        "fc.bias",
    ],
    "vgg16-bn-cifar": ["features.0.bias", "features.41.running_mean", "classifier.weight"],
    "densenet121-cifar": ["dense4.15.conv2.weight", "trans3.bn.weight", "bn.weight", "linear.bias"],
    "mobilenetv2-cifar": ["layers.16.conv3.weight", "layers.0.shortcut.1.bias", "linear.weight"],
}
VARIANTS = {
    "resnet12-cifar(width=4, blocks=1-2-1-1)": partial(ResNet, PLAN),
    "resnet14-cifar(width=4, blocks=1-2-1-2)": partial(
        ResNet, planned((1, 2, 1, 2), 7, 4, shortcut="downsample")
    ),
    "resnet20-b(width=4)": partial(ResNet, planned((3, 3, 3), 7, 4)),
    "resnet12-7x7(width=4, blocks=1-2-1-1)": partial(ResNet, replace(PLAN, stem=(4, 7), head="fc")),
    "resnet6-cifar(widths=4-6)": partial(
        ResNet, replace(PLAN, stages=(Stage(4, 4, 1), Stage(6, 6, 1)))
    ),
    "resnet8-cifar(width=8, groups=4)": partial(
        ResNet, replace(PLAN, bottleneck=True, stages=(Stage(8, 12, 1, 4), Stage(16, 24, 1, 4)))
    ),
    "preactresnet12(width=4, blocks=1-2-1-1)": partial(
        PreActResNet, replace(PLAN, final_norm=True)
    ),
    "wrn-12(widths=4-6-8-10)": partial(WideResNet, (4, 6, 8, 10), (2, 1, 1), 7, 3),
    "wrn-10-2(width=4)": partial(WideResNet, (4, 8, 16, 32), (1, 1, 1), 7, 3),
    "vgg9-cifar(widths=4-5-6-7-8-9)": partial(VGG, ((4,), (5,), (6, 7), (8,), (9,)), 7, 3, False),
}


def shapes_of(network: nn.Module) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def small(name: str, in_channels: int = 3) -> nn.Module:
    width = {"wrn": 4, "mobilenetv2-cifar": 8}.get(name, 4)
    network = ARCHITECTURES[name](num_classes=7, width=width, in_channels=in_channels)
    return unusual(network)


def unusual(network: nn.Module) -> nn.Module:
    """Give the buffers values, so that logits depend on all of them."""
    for name, buffer in network.named_buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5) if "var" in name else buffer.uniform_(-0.2, 0.2)
    return network.eval()


def logits(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = network.eval()(images)
    return result


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_its_shapes_give_the_same_network_back(name: str, in_channels: int) -> None:
    network = small(name, in_channels)
    (candidate,) = candidates(shapes_of(network))
    twin = candidate.build()
    twin.load_state_dict(network.state_dict())
    images = torch.rand(2, in_channels, 32, 32)
    expected = logits(network, images)
    assert expected.shape == (2, 7)
    assert torch.equal(logits(twin, images), expected)
    assert candidate.input_size == 32
    assert candidate.name.startswith("wrn-16-1" if name == "wrn" else f"{name}(")


@pytest.mark.parametrize("name", VARIANTS)
def test_unusual_members_give_the_same_network_back(name: str) -> None:
    network = unusual(VARIANTS[name]())
    (candidate,) = candidates(shapes_of(network))
    twin = candidate.build()
    twin.load_state_dict(network.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(logits(twin, images), logits(network, images))
    assert candidate.name == name


@pytest.mark.parametrize("name", KEYS)
def test_key_names_are_those_of_public_checkpoints(name: str) -> None:
    assert set(KEYS[name]) <= shapes_of(ARCHITECTURES[name](num_classes=3)).keys()


@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet18-cifar", 11.17), ("resnet20", 0.27), ("wrn", 0.18), ("vgg16-bn-cifar", 14.73)],
)
def test_standard_sizes_are_the_papers(name: str, millions: float) -> None:
    network = ARCHITECTURES[name](num_classes=10)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.006)


def test_option_a_shortcut_subsamples_and_pads_on_both_sides() -> None:
    network = ResNet(planned((1, 1, 1), 7, 4, shortcut=""))
    shortcut = network.get_submodule("layer2.0.shortcut")
    images = torch.rand(1, 4, 6, 6)
    expected = torch.zeros(1, 8, 3, 3)
    expected[:, 2:6] = images[:, :, ::2, ::2]
    assert torch.equal(shortcut(images), expected)


def test_a_head_larger_than_the_last_stage_means_larger_images() -> None:
    network = ResNet(replace(PLAN, grid=2))
    (candidate,) = candidates(shapes_of(network))
    assert candidate.input_size == 64
    assert shapes_of(candidate.build()) == shapes_of(network)


def test_a_gap_that_leaves_room_for_more_than_pooling_is_no_vgg() -> None:
    # A dropout or another activation could stand there, which would change what the network does.
    shapes = shapes_of(small("vgg11-bn-cifar"))
    moved = {
        f"features.{int(name.split('.')[1]) + 1}.{name.split('.')[2]}"
        if name.startswith("features") and int(name.split(".")[1]) > 3
        else name: shape
        for name, shape in shapes.items()
    }
    assert len(candidates(shapes)) == 1
    assert candidates(moved) == []


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(), (0,), (0, 0), (0, 0, 0, 0), (3, 2, 3, 3), (5, 4)])
def test_absurd_shapes_are_survived(name: str, shape: tuple[int, ...]) -> None:
    shapes = shapes_of(small(name))
    candidates(dict.fromkeys(shapes, shape))
    for spoilt in list(shapes)[:3] + list(shapes)[-3:]:
        candidates(shapes | {spoilt: shape})


def test_unrelated_names_give_no_candidate() -> None:
    assert candidates({"fc1.weight": (10, 4), "fc1.bias": (10,)}) == []

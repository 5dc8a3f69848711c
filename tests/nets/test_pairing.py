from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.nets.architectures import ARCHITECTURES
from backaudit.nets.layers import hooked
from backaudit.nets.pairing import Origins, origins_of_batch_norms

IMAGE = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Written(nn.Module):
    """Two convolutions, a batch norm, and what a test writes between them."""

    def __init__(self, between: Callable[[Tensor, Tensor], Tensor], channels: int = 4) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.one = nn.Conv2d(3, 4, 1)
        self.other = nn.Conv2d(3, 4, 1)
        self.between = between

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.between(self.one(images), self.other(images)))
        return maps.mean((2, 3))


def origins(between: Callable[[Tensor, Tensor], Tensor], channels: int = 4) -> tuple[Origins, ...]:
    return origins_of_batch_norms(Written(between, channels).eval(), IMAGE)["norm"]


def every(*layers: str, channels: int = 4) -> tuple[Origins, ...]:
    return tuple(tuple((layer, channel) for layer in layers) for channel in range(channels))


def clipped(one: Tensor, _: Tensor) -> Tensor:
    # What torch.fx cannot trace.
    return one.relu_() if float(one.sum()) > 1e9 else F.max_pool2d(F.relu(one, inplace=True), 2)


def in_place(one: Tensor, other: Tensor) -> Tensor:
    one += other
    return one


def test_a_batch_norm_belongs_to_what_it_reads_and_not_to_what_is_registered_before_it() -> None:
    assert origins(lambda one, _: one) == every("one")
    assert origins(lambda _, other: other) == every("other")


def test_activations_and_pooling_are_looked_through() -> None:
    assert origins(clipped) == every("one")
    assert origins(lambda _, other: F.dropout(F.avg_pool2d(F.silu(other), 2))) == every("other")


@pytest.mark.parametrize("add", [torch.add, in_place, lambda one, other: one.clone() + other])
def test_a_sum_comes_from_all_its_parts(add: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert origins(add) == every("one", "other")


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    assert origins(lambda one, other: one + other.sin()) == ((),) * 4
    assert origins(lambda one, _: one + 1) == ((),) * 4


def test_what_mixes_or_scales_channels_ends_the_trace() -> None:
    assert origins(lambda one, _: one.flip(1)) == ((),) * 4
    assert origins(lambda one, other: one * other) == ((),) * 4
    assert origins(lambda one, _: one.softmax(1)) == ((),) * 4
    assert origins(lambda one, _: F.pad(one, (0, 0, 0, 0, 1, 1)), channels=6) == ((),) * 6


@pytest.mark.parametrize("axis", [1, -3])
def test_a_concatenation_keeps_the_order_of_channels(axis: int) -> None:
    joined = origins(lambda one, other: torch.cat([other, one], axis), channels=8)
    assert joined == every("other") + every("one")


def test_a_concatenation_along_the_height_is_unknown() -> None:
    assert origins(lambda one, other: torch.cat([other, one], 2)) == ((),) * 4


def test_a_tensor_changed_in_place_by_something_unknown_is_unknown() -> None:
    assert origins(lambda one, _: one.sin_()) == ((),) * 4


def test_linear_layers_count_where_their_channels_lie_second() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3072, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    assert origins_of_batch_norms(flat.eval(), IMAGE) == {"2": every("1", channels=2)}
    tokens = nn.Sequential(nn.Flatten(2), nn.Linear(1024, 3), nn.BatchNorm1d(3), nn.Flatten())
    assert origins_of_batch_norms(tokens.eval(), IMAGE) == {"2": ((),) * 3}


def test_a_network_without_batch_norm_has_nothing_to_pair() -> None:
    assert origins_of_batch_norms(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten()), IMAGE) == {}


def test_the_first_norm_of_an_image_reads_no_layer() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)).eval()
    assert origins_of_batch_norms(network, IMAGE) == {"0": ((),) * 3}


ONE_CONVOLUTION_EACH = ("resnet18-cifar", "resnet20", "vgg11-bn-cifar", "mobilenetv2-cifar")


@pytest.mark.parametrize("name", ONE_CONVOLUTION_EACH)
def test_after_every_convolution_its_own_norm(name: str) -> None:
    found = origins_of_batch_norms(_built(name), IMAGE)
    assert len(found) > 7
    for channels in found.values():
        layers = {layer for each in channels for layer, _ in each}
        assert channels == every(*layers, channels=len(channels))
        assert len(layers) == 1


def test_the_block_of_a_pre_activation_network_reads_the_sum_before_it() -> None:
    found = origins_of_batch_norms(_built("preactresnet18"), IMAGE)
    first = {name: {layer for layer, _ in channels[0]} for name, channels in found.items()}
    assert first["layer1.0.bn1"] == {"conv1"}
    assert first["layer1.1.bn1"] == {"conv1", "layer1.0.conv2"}
    assert first["layer1.1.bn2"] == {"layer1.1.conv1"}
    assert first["layer2.1.bn1"] == {"layer2.0.shortcut.0", "layer2.0.conv2"}


@pytest.mark.parametrize("name", [*ONE_CONVOLUTION_EACH, "preactresnet18", "densenet121-cifar"])
def test_a_channel_is_silent_once_its_origins_are(name: str) -> None:
    network = _built(name)
    found = origins_of_batch_norms(network, IMAGE)
    for norm in list(found)[:: max(1, len(found) // 4)]:
        channel = len(found[norm]) // 2
        reached: list[Tensor] = []
        layers = [network.get_submodule(layer) for layer, _ in found[norm][channel]]
        rows = [row for _, row in found[norm][channel]]

        def silence(layer: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            kept = torch.ones(output.shape[1])
            kept[rows[layers.index(layer)]] = 0  # noqa: B023
            return output * kept[:, None, None]

        def keep(_layer: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
            reached.append(inputs[0])  # noqa: B023

        with (
            torch.no_grad(),
            hooked([*layers, network.get_submodule(norm)], [*[silence] * len(layers), keep]),
        ):
            network(IMAGE)
        assert layers
        assert reached[0][:, channel].abs().max() == 0
        assert reached[0].abs().sum((0, 2, 3)).count_nonzero() > 1


def _built(name: str) -> nn.Module:
    return ARCHITECTURES[name](num_classes=4, width=4, in_channels=3).eval()

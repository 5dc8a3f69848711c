from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from backaudit.attacks import TrainingSet
from backaudit.attacks.channels import least_important, streams
from backaudit.core.errors import SettingError
from backaudit.nets.architectures import ARCHITECTURES
from tests.conftest import ToyWorld
from tests.toy import CLASSES, draw_images, toy_network


def test_layers_of_a_chain_have_streams_of_their_own() -> None:
    found = streams(toy_network())
    assert found.read == {"0": "image", "3": "0", "6": "3", "11": "6"}
    assert {name: found.written[name] for name in "01346"} == {
        "0": "0", "1": "0", "3": "3", "4": "3", "6": "6"
    }  # fmt: skip


def test_what_is_added_up_shares_its_channels() -> None:
    found = streams(ARCHITECTURES["resnet10-cifar"](width=4))
    assert found.written["conv1"] == found.written["layer1.0.conv2"] == found.read["layer2.0.conv1"]
    assert found.written["layer2.0.conv2"] == found.read["layer3.0.conv1"]
    assert found.written["layer1.0.conv1"] == found.read["layer1.0.conv2"]
    assert len({found.written[name] for name in found.read}) == 9


def test_channelwise_layers_hand_channels_on() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))
    found = streams(network)
    assert found.written["1"] == found.read["1"] == found.read["2"] == "0"


def test_a_network_that_cannot_be_followed_is_refused() -> None:
    class Moody(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images if images.mean() > 0 else -images

    with pytest.raises(SettingError, match="followed"):
        streams(Moody())


def test_channels_that_nobody_listens_to_matter_least(toy_world: ToyWorld) -> None:
    network = deepcopy(toy_world.benign.network)
    with torch.no_grad():
        network.get_parameter("3.weight")[:, 5] *= 1e-4
        network.get_parameter("6.weight")[:, [2, 9]] *= 1e-4
        network.get_parameter("11.weight")[:, 17] *= 1e-4
    before = deepcopy(network.state_dict())
    clean = TrainingSet(*draw_images(10, 1), CLASSES)
    one, two = (least_important(network, streams(network), clean, count) for count in (1, 2))
    assert one["0"].tolist() == [5]
    assert two["3"].tolist() == [2, 9]
    assert one["6"].tolist() == [17]
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())

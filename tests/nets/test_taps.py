import pytest
import torch
from torch import nn

from backaudit.nets.architectures import ARCHITECTURES
from backaudit.nets.taps import stage_ends, tapped
from tests.toy import toy_network


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("resnet18-cifar", ("layer1", "layer2", "layer3", "layer4")),
        ("preactresnet18", ("layer1", "layer2", "layer3", "layer4")),
        ("resnet20", ("layer1", "layer2", "layer3")),
    ],
)
def test_stages_of_known_networks_end_where_they_do(name: str, ends: tuple[str, ...]) -> None:
    network = ARCHITECTURES[name](num_classes=3, width=4).eval()
    assert stage_ends(network, torch.rand(1, 3, 32, 32)) == ends


def test_stages_of_a_plain_chain_end_before_each_pooling() -> None:
    network = nn.Sequential(
        nn.Sequential(
            *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            nn.AdaptiveAvgPool2d(1),
        ),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    assert stage_ends(network, torch.rand(1, 3, 8, 8)) == ("0.1", "0.4", "0.5")


def test_a_network_without_maps_has_no_stages() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(27, 2))
    assert stage_ends(network, torch.rand(1, 3, 3, 3)) == ()


def test_taps_collect_what_modules_put_out_and_come_off() -> None:
    network, images = toy_network(), torch.rand(2, 3, 12, 12)
    assert isinstance(network, nn.Sequential)
    with tapped(network, ["5", "2"]) as outputs:
        network(images)
    assert [tuple(output.shape) for output in outputs] == [(2, 16, 6, 6), (2, 8, 12, 12)]
    assert torch.equal(outputs[1], network[:3](images))
    kept = list(outputs)
    network(images.flip(0))
    assert all(one is other for one, other in zip(kept, outputs, strict=True))

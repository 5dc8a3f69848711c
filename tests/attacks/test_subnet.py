from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from backaudit.attacks.channels import Streams, streams
from backaudit.attacks.subnet import measure_statistics, narrowed, replace_channels
from backaudit.core.errors import SettingError
from backaudit.nets.architectures import ARCHITECTURES
from backaudit.nets.layers import hooked, linear_maps
from tests.toy import toy_network, unusual

FITTING: dict[str, Callable[[], nn.Module]] = {
    "toy": toy_network,
    "toy with biases": partial(toy_network, bias=True),
    "bottlenecks": partial(ARCHITECTURES["resnet50-cifar"], width=3),
    **{
        name: partial(ARCHITECTURES[name], width=4)
        for name in ("resnet10-cifar", "resnet18-cifar", "preactresnet18", "vgg11-bn-cifar")
    },
    "wrn": partial(ARCHITECTURES["wrn"], depth=10, width=4),
    "mobilenetv2-cifar": partial(ARCHITECTURES["mobilenetv2-cifar"], width=8),
}
MISFITS: dict[str, Callable[[], nn.Module]] = {
    "padded shortcuts": partial(ARCHITECTURES["resnet20"], width=4),
    "joined channels": partial(ARCHITECTURES["densenet121-cifar"], width=2),
    "other normalisation": partial(toy_network, norm=partial(nn.GroupNorm, 2)),
    "no channel to spare": partial(ARCHITECTURES["resnet10-cifar"], width=2),
    "groups": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(8, 8, 3, groups=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 6),
    ),
}


def images() -> Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def features(network: nn.Module) -> Tensor:
    """What the head reads."""
    seen: list[Tensor] = []
    head = list(linear_maps(network).values())[-1]
    with torch.no_grad(), hooked([head], [lambda _layer, inputs, _out: seen.append(inputs[0])]):
        network.eval()(images())
    return seen[0]


def spread(network: nn.Module, count: int) -> tuple[Streams, dict[str, Tensor]]:
    """Channels that are neither the first nor next to one another, others in each stream."""
    found = streams(network)
    widths = {
        stream: len(network.get_submodule(name).get_parameter("weight"))
        for name, stream in found.written.items()
        if list(network.get_submodule(name).parameters(recurse=False))
    }
    return found, {
        stream: (torch.arange(count) * 2 + 1 + number % 2) % width
        for number, (stream, width) in enumerate(widths.items())
    }


def heard(network: nn.Module, found: Streams, positions: dict[str, Tensor], size: int) -> Tensor:
    """Which of the features are those of a narrow network that has ``size``."""
    places = positions[found.read[list(linear_maps(network))[-1]]]
    each = size // len(places)
    return (places[:, None] * each + torch.arange(each)).flatten()


def lively(narrow: nn.Module) -> nn.Module:
    """The network with values of its own, none of which can silence it."""
    with torch.no_grad():
        for weight in narrow.parameters():
            weight.copy_(torch.where(weight.abs() < 0.01, 0.01, weight.abs()))
    return unusual(narrow)


@pytest.mark.parametrize("name", FITTING)
@pytest.mark.parametrize("channels", [1, 2])
def test_inside_the_network_it_computes_what_it_computes_alone(name: str, channels: int) -> None:
    network = unusual(FITTING[name]())
    narrow = lively(narrowed(network, channels, images()))
    found, positions = spread(network, channels)
    replace_channels(network, narrow, found, positions)
    alone = narrow(images())
    assert alone.abs().max() > 1e-3
    inside = features(network)[:, heard(network, found, positions, alone.shape[1])]
    assert torch.allclose(inside, alone, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", FITTING)
def test_the_rest_of_the_network_does_not_hear_it(name: str) -> None:
    network = unusual(FITTING[name]())
    rest = []
    for _ in range(2):
        narrow = narrowed(network, 1, images())
        found, positions = spread(network, 1)
        replace_channels(network, narrow, found, positions)
        others = torch.ones(features(network).shape[1], dtype=torch.bool)
        others[heard(network, found, positions, narrow(images()).shape[1])] = False
        rest.append(features(network)[:, others])
    assert rest[0].abs().max() > 1e-3
    assert torch.equal(*rest)


@pytest.mark.parametrize("name", MISFITS)
def test_a_network_that_moves_its_channels_is_refused(name: str) -> None:
    network = MISFITS[name]().eval()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(SettingError):
        narrowed(network, 2, images())
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_statistics_are_those_of_the_images() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)).eval()
    shown = torch.randint(256, (200, 3, 4, 4), dtype=torch.uint8)
    measure_statistics(network, shown)
    values = shown.double() / 255
    assert torch.allclose(network.get_buffer("0.running_mean").double(), _mean_of_batches(values))
    variance = torch.stack([part.var((0, 2, 3)) for part in values.split(128)]).mean(0)
    assert torch.allclose(network.get_buffer("0.running_var").double(), variance)
    assert not any(module.training for module in network.modules())


def _mean_of_batches(values: Tensor) -> Tensor:
    return torch.stack([part.mean((0, 2, 3)) for part in values.split(128)]).mean(0)

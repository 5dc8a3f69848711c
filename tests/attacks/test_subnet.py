from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from backaudit.attacks.subnet import narrowed, replace_channels
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
    replace_channels(network, narrow)
    alone = narrow(images())
    assert alone.abs().max() > 1e-3
    assert torch.allclose(features(network)[:, : alone.shape[1]], alone, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", FITTING)
def test_the_rest_of_the_network_does_not_hear_it(name: str) -> None:
    network = unusual(FITTING[name]())
    rest = []
    for _ in range(2):
        narrow = narrowed(network, 1, images())
        replace_channels(network, narrow)
        rest.append(features(network)[:, narrow(images()).shape[1] :])
    assert rest[0].abs().max() > 1e-3
    assert torch.equal(*rest)


@pytest.mark.parametrize("name", MISFITS)
def test_a_network_that_moves_its_channels_is_refused(name: str) -> None:
    network = MISFITS[name]().eval()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(SettingError):
        narrowed(network, 2, images())
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from backaudit.nets.grouped import grouped_call
from backaudit.nets.layers import norm_layers
from tests.toy import toy_network, unusual

GROUPS, SIZE = 3, 5
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch norm": nn.BatchNorm2d,
    "batch norm without parameters": lambda width: nn.BatchNorm2d(width, affine=False),
    "batch norm without stored statistics": lambda width: nn.BatchNorm2d(
        width, track_running_stats=False
    ),
    "group norm": lambda width: nn.GroupNorm(4, width),
    "layer norm": lambda width: Turned(width),
    "layer norm without bias": lambda width: Turned(width, bias=False),
}


class Turned(nn.Module):
    """Layer norm over the channels, as networks of the ConvNeXt kind have it."""

    def __init__(self, width: int, *, bias: bool = True) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        normalised: Tensor = self.norm(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return normalised


class Wide(nn.Module):
    """Layer norm over whole feature maps, batch norm over vectors and over sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.LayerNorm([3, 12, 12], eps=1e-3)
        self.vectors = nn.BatchNorm1d(3 * 12 * 12, eps=1e-3)
        self.sequences = nn.BatchNorm1d(12)
        self.head = nn.Linear(3 * 12 * 12, 6)

    def forward(self, images: Tensor) -> Tensor:
        vectors = self.vectors(self.maps(images).flatten(1))
        logits: Tensor = self.head(self.sequences(vectors.view(-1, 12, 36)).flatten(1))
        return logits


def stacked(network: nn.Module) -> dict[str, Tensor]:
    """Parameters of its own for each group, for each layer with parameters."""
    generator = torch.Generator().manual_seed(1)
    return {
        f"{layer}.{name}": parameter.detach()
        * (1 + 0.3 * torch.randn(GROUPS, *parameter.shape, generator=generator))
        for layer, module in norm_layers(network).items()
        for name, parameter in module.named_parameters(recurse=False)
    }


def one_by_one(network: nn.Module, parameters: dict[str, Tensor], images: Tensor) -> Tensor:
    """Logits of separate copies that hold the parameters, with batch statistics."""
    logits = []
    for group, part in enumerate(images.chunk(GROUPS)):
        copied = deepcopy(network)
        with torch.no_grad():
            for name, values in parameters.items():
                copied.get_parameter(name).copy_(values[group])
        logits.append(copied.train()(part))
    return torch.cat(logits)


def cases() -> dict[str, nn.Module]:
    return {name: toy_network(norm=norm) for name, norm in NORMS.items()} | {
        "vectors, sequences and maps": unusual(Wide())
    }


@pytest.mark.parametrize("case", cases())
def test_a_group_is_a_network_with_parameters_of_its_own(case: str) -> None:
    network = cases()[case]
    images = torch.rand(GROUPS * SIZE, 3, 12, 12)
    parameters = stacked(network)
    assert bool(parameters) == ("without parameters" not in case)
    with torch.no_grad():
        logits = grouped_call(network, parameters, images, GROUPS)
    assert torch.allclose(logits, one_by_one(network, parameters, images), atol=1e-5)


@pytest.mark.parametrize("case", [case for case in cases() if "without parameters" not in case])
def test_gradients_are_those_of_separate_networks(case: str) -> None:
    network = cases()[case]
    images = torch.rand(GROUPS * SIZE, 3, 12, 12)
    weights = torch.randn(GROUPS * SIZE, 6)
    parameters = {name: value.requires_grad_() for name, value in stacked(network).items()}
    loss = (grouped_call(network, parameters, images, GROUPS) * weights).sum()
    found = torch.autograd.grad(loss, list(parameters.values()))
    for group in range(GROUPS):
        copied = deepcopy(network).train()
        with torch.no_grad():
            for name, values in parameters.items():
                copied.get_parameter(name).copy_(values[group])
        own = slice(group * SIZE, (group + 1) * SIZE)
        loss = (copied(images[own]) * weights[own]).sum()
        names = [copied.get_parameter(name) for name in parameters]
        expected = torch.autograd.grad(loss, names)
        for here, there in zip(found, expected, strict=True):
            assert torch.allclose(here[group], there, rtol=1e-3, atol=1e-4)


def test_nothing_of_the_network_changes() -> None:
    network = toy_network()
    before = deepcopy(network.state_dict())
    grouped_call(network, stacked(network), torch.rand(GROUPS * SIZE, 3, 12, 12), GROUPS)
    assert not network.training
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())


def test_stored_statistics_are_not_used() -> None:
    network, images = toy_network(), torch.rand(SIZE, 3, 12, 12)
    logits = grouped_call(network, {}, images, 1)
    for buffer in network.buffers():
        buffer.add_(1)
    assert torch.equal(grouped_call(network, {}, images, 1), logits)
    assert not torch.allclose(network(images), logits, atol=1e-2)


@pytest.mark.parametrize("case", ["batch norm", "batch norm without parameters", "group norm"])
def test_stored_statistics_can_be_asked_for(case: str) -> None:
    network = cases()[case]
    parameters, images = stacked(network), torch.rand(GROUPS * SIZE, 3, 12, 12)
    logits = grouped_call(network, parameters, images, GROUPS, batch_statistics=False)
    for group, part in enumerate(images.chunk(GROUPS)):
        own = {name: values[group] for name, values in parameters.items()}
        expected = torch.func.functional_call(network, own, (part,))
        assert torch.allclose(logits.chunk(GROUPS)[group], expected, atol=1e-4)


def test_a_group_knows_nothing_of_the_others() -> None:
    network = toy_network()
    images = torch.rand(GROUPS * SIZE, 3, 12, 12)
    parameters = stacked(network)
    logits = grouped_call(network, parameters, images, GROUPS)
    images[SIZE:] = 1 - images[SIZE:] ** 2
    changed = grouped_call(network, parameters, images, GROUPS)
    assert torch.allclose(changed[:SIZE], logits[:SIZE], atol=1e-6)
    assert not torch.allclose(changed[SIZE:], logits[SIZE:], atol=1e-2)


def test_normalisation_is_the_usual_again_afterwards_and_after_an_error() -> None:
    network, images = toy_network(), torch.rand(2, 3, 12, 12)
    expected = network(images)
    with pytest.raises(RuntimeError):
        grouped_call(network, {}, torch.rand(2, 4, 12, 12), 2)
    assert torch.equal(network(images), expected)

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from backaudit.nets.layers import (
    amplified,
    batch_norms,
    execution_order,
    hooked,
    linear_maps,
    norm_layers,
)
from tests.toy import toy_network, unusual


class Mixed(nn.Module):
    """Registered in another order than run; one layer runs twice and one not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.last = nn.LayerNorm(3)
        self.fixed = nn.BatchNorm2d(3, affine=False)
        self.spare = nn.GroupNorm(1, 3)
        self.twice = nn.BatchNorm2d(3)
        self.first = nn.Conv2d(3, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.fixed(self.twice(self.first(self.twice(images))))
        logits: Tensor = self.head(self.last(maps.mean((2, 3))))
        return logits


def test_layers_are_found_by_kind_in_registration_order() -> None:
    network = Mixed()
    assert list(norm_layers(network)) == ["last", "spare", "twice"]
    assert list(batch_norms(network)) == ["fixed", "twice"]
    assert list(linear_maps(network)) == ["head", "first"]
    assert norm_layers(network)["twice"] is network.twice


def test_execution_order_is_the_order_of_the_first_run() -> None:
    network = Mixed().eval()
    layers = norm_layers(network) | linear_maps(network)
    ran = execution_order(network, layers, torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    assert list(ran) == ["twice", "first", "last", "head"]
    assert all(layers[name] is module for name, module in ran.items())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("scale", [1.5, 0.0, -2.0])
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.Conv2d])
def test_amplifying_is_the_same_as_multiplying_weight_and_bias(
    kind: type[nn.Module], scale: float
) -> None:
    network = toy_network(bias=True)
    layers = [layer for layer in network.modules() if isinstance(layer, kind)][1:]
    copied = deepcopy(network)
    with torch.no_grad():
        for layer in [layer for layer in copied.modules() if isinstance(layer, kind)][1:]:
            layer.get_parameter("weight").mul_(scale)
            layer.get_parameter("bias").mul_(scale)
    images = torch.rand(4, 3, 12, 12)
    plain = network(images)
    with amplified(layers, scale):
        logits = network(images)
    assert torch.allclose(logits, copied(images), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits, plain, atol=1e-3)
    assert torch.equal(network(images), plain)


def test_a_layer_that_runs_twice_is_amplified_twice() -> None:
    network = unusual(Mixed())
    with torch.no_grad():
        network.twice.weight.fill_(1)
        network.twice.bias.zero_()
        network.twice.running_mean.zero_()  # type: ignore[union-attr]
        network.twice.running_var.fill_(1)  # type: ignore[union-attr]
    taken: list[Tensor] = []
    images = torch.rand(2, 3, 4, 4)
    with amplified([network.twice], 3.0), hooked([network.fixed], [inputs_into(taken)]):
        network(images)
    assert torch.allclose(taken[0], 3 * network.first(3 * images), rtol=1e-3)


def inputs_into(taken: list[Tensor]) -> Callable[..., None]:
    return lambda module, inputs, output: taken.append(inputs[0])


def test_hooks_come_off_after_an_error() -> None:
    network = Mixed()
    calls = []

    def count(*_: object) -> None:
        calls.append(1)

    with pytest.raises(ZeroDivisionError), hooked([network.first, network.last], [count, count]):
        assert len(network.first._forward_hooks) == len(network.last._forward_hooks) == 1
        network(torch.rand(2, 3, 4, 4))
        raise ZeroDivisionError
    assert len(calls) == 2
    assert not any(module._forward_hooks for module in network.modules())


def test_as_many_hooks_as_modules_or_none() -> None:
    network = Mixed()
    with (
        pytest.raises(ValueError, match="shorter"),
        hooked([network.first, network.last], [inputs_into([])]),
    ):
        pass
    assert not any(module._forward_hooks for module in network.modules())

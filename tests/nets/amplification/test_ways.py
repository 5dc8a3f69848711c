from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from backaudit.nets.amplification import amplify
from backaudit.nets.amplification.graph import shared_graph
from backaudit.nets.amplification.plain import PlainAmplification
from backaudit.nets.amplification.replay import ReplayedAmplification
from backaudit.nets.amplification.tracing import TracedNetwork
from tests.nets.amplification.networks import (
    NETWORKS,
    TRACEABLE,
    deepest_first,
    images,
    made,
    published,
)

DEPTHS = (2, 1, 4, 3, 3, 0)
SCALE = 1.5
Way = Callable[[nn.Module, list[str]], nn.Module]


def by_graph(network: nn.Module, layers: list[str]) -> nn.Module:
    return shared_graph(TracedNetwork(network, layers, images(3)), DEPTHS, SCALE)


def by_replay(network: nn.Module, layers: list[str]) -> nn.Module:
    return ReplayedAmplification(network, layers, DEPTHS, SCALE)


def plainly(network: nn.Module, layers: list[str]) -> nn.Module:
    return PlainAmplification(network, layers, DEPTHS, SCALE)


WAYS = [
    *(pytest.param(kind, by_graph, id=f"graph-{kind.__name__}") for kind in TRACEABLE),
    *(pytest.param(kind, by_replay, id=f"replay-{kind.__name__}") for kind in NETWORKS),
    *(pytest.param(kind, plainly, id=f"plain-{kind.__name__}") for kind in NETWORKS),
]


@pytest.mark.parametrize("kind, way", WAYS)
def test_logits_are_those_of_copies_with_multiplied_weights_for_any_batch(
    kind: type[nn.Module], way: Way
) -> None:
    network = made(kind)
    layers = deepest_first(network, images())
    amplified = way(network, layers)
    for batch in (images(1), images(5)):
        wanted = published(network, layers, DEPTHS, SCALE, batch)
        assert torch.allclose(amplified(batch), wanted, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(wanted[0], wanted[2], atol=1e-3)


@pytest.mark.parametrize("kind, way", WAYS)
def test_layers_in_another_order_than_that_of_execution(kind: type[nn.Module], way: Way) -> None:
    network = made(kind)
    layers = deepest_first(network, images())
    layers = [layers[index] for index in (2, 0, 3, 1)]
    found = way(network, layers)(images())
    wanted = published(network, layers, DEPTHS, SCALE, images())
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
def test_network_is_left_as_it_was(kind: type[nn.Module]) -> None:
    network = made(kind)
    attributes = {name: set(vars(part)) for name, part in network.named_modules()}
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    owned = dict(network.named_parameters())
    amplify(network, deepest_first(network, images()), DEPTHS, SCALE, images())(images())
    assert all(torch.equal(tensors[name], now) for name, now in network.state_dict().items())
    assert all(owned[name] is now for name, now in network.named_parameters())
    for name, part in network.named_modules():
        assert set(vars(part)) == attributes[name]
        assert not part._forward_hooks and not part._forward_pre_hooks and not part.training


@pytest.mark.parametrize("kind", TRACEABLE)
def test_graph_shares_all_parameters(kind: type[nn.Module]) -> None:
    network = made(kind)
    amplified = amplify(network, deepest_first(network, images()), DEPTHS, SCALE, images())
    owned = {id(parameter) for parameter in network.parameters()}
    used = {id(parameter) for parameter in amplified.parameters()}
    assert used and used <= owned
    assert not any(part.training for part in amplified.modules())


@pytest.mark.parametrize("kind", NETWORKS)
def test_images_are_left_as_they_were(kind: type[nn.Module]) -> None:
    network, batch = made(kind), images()
    amplify(network, deepest_first(network, batch), DEPTHS, SCALE, batch)(batch)
    assert torch.equal(batch, images())


def test_channels_last_images_stay_so() -> None:
    network = made(TRACEABLE[0])
    layouts = []

    def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        layouts.append(inputs[0].is_contiguous(memory_format=torch.channels_last))

    amplified = amplify(network, deepest_first(network, images()), DEPTHS, SCALE, images())
    handles = [layer.register_forward_pre_hook(note) for layer in network.convs]
    batch = images().to(memory_format=torch.channels_last)
    found = amplified(batch)
    for handle in handles:
        handle.remove()
    assert len(layouts) == 4 and all(layouts)
    assert torch.allclose(found, amplified(images()), rtol=1e-4, atol=1e-5)


def test_works_under_inference_mode_and_in_half_precision() -> None:
    network, batch = made(TRACEABLE[0]).bfloat16(), images().bfloat16()
    with torch.inference_mode():
        layers = [f"norms.{index}" for index in (4, 3, 2, 1, 0)]
        amplified = amplify(network, layers, (1, 3), SCALE, batch)
        found = amplified(batch)
    assert "traced graph" in amplified.how and found.dtype == torch.bfloat16

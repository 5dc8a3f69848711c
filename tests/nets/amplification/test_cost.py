from collections.abc import Callable, Sequence

import pytest
from torch import Tensor, nn

from backaudit.nets.amplification import amplify
from backaudit.nets.amplification.replay import ReplayedAmplification
from backaudit.nets.architectures import ARCHITECTURES
from tests.nets.amplification.networks import (
    Branching,
    Residual,
    deepest_first,
    floor,
    images,
    made,
    passes,
)
from tests.toy import unusual


@pytest.mark.parametrize(
    "name, width, most", [("resnet18-cifar", 16, 2.77), ("densenet121-cifar", 4, 1.06)]
)
def test_five_depths_from_the_sixth_cost_what_the_suffixes_cost(
    name: str, width: int, most: float
) -> None:
    network = unusual(ARCHITECTURES[name](width=width)).requires_grad_(False)
    batch = images(2, 32)
    layers = deepest_first(network, batch)
    amplified = amplify(network, layers, range(6, 11), 1.5, batch[:1])
    assert passes(network, amplified, batch) <= most


def by_replay(
    network: nn.Module, layers: list[str], depths: Sequence[int], scale: float, _example: Tensor
) -> nn.Module:
    return ReplayedAmplification(network, layers, depths, scale)


@pytest.mark.parametrize("way", [amplify, by_replay])
def test_no_prefix_is_computed_twice(way: Callable[..., nn.Module]) -> None:
    network, batch = made(Residual), images()
    layers = deepest_first(network, batch)
    amplified = way(network, layers, (1, 2, 3, 4), 1.5, batch)
    least = floor(network, layers, (1, 2, 3, 4), batch)
    assert passes(network, amplified, batch) == pytest.approx(least)


def test_branches_that_amplification_does_not_reach_are_shared_too() -> None:
    network, batch = made(Branching), images()
    layers = deepest_first(network, batch)
    amplified = amplify(network, layers, (1, 2, 3, 4), 1.5, batch)
    assert passes(network, amplified, batch) == pytest.approx(1, abs=0.01)

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.suspect import as_input
from backaudit.nets.folding import folded
from backaudit.nets.layers import batch_norms
from backaudit.nets.renormalising import renormalised
from tests.toy import clean_set, toy_network, unusual

CLEAN = clean_set()
IMAGES = as_input(CLEAN.images, torch.device("cpu"))


class Shared(nn.Module):
    """Runs one convolution twice, and one linear layer on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.twice = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.tokens, self.hidden, self.head = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 6)

    def forward(self, images: Tensor) -> Tensor:
        features = self.twice(self.twice(self.stem(images)).relu()).relu()
        tokens = self.tokens(features.flatten(2).transpose(1, 2)).relu().mean(1)
        logits: Tensor = self.head(self.hidden(tokens).relu())
        return logits


def bare() -> nn.Module:
    return toy_network(norm=lambda _: nn.Identity(), bias=True)


@pytest.mark.parametrize("make", [bare, lambda: unusual(Shared())])
@torch.no_grad()
def test_the_network_computes_what_it_did(make: Callable[[], nn.Module]) -> None:
    network = make()
    before = network(IMAGES)
    with renormalised(network, CLEAN):
        assert batch_norms(network)
        assert torch.allclose(network(IMAGES), before, atol=1e-4)


def test_afterwards_it_is_as_it_was_also_after_an_error() -> None:
    network = bare()
    state, modules = deepcopy(network.state_dict()), dict(network.named_modules())
    with pytest.raises(ValueError, match="spoilt"), renormalised(network, CLEAN):
        raise ValueError("spoilt")
    assert dict(network.named_modules()) == modules
    assert not any(module._forward_hooks for module in modules.values())
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_layers_are_added_behind_all_that_run_once_but_the_classifier() -> None:
    network = unusual(Shared())
    with renormalised(network, CLEAN):
        assert batch_norms(network).keys() == {"stem.renormalised", "hidden.renormalised"}


@torch.no_grad()
def test_what_was_folded_in_comes_back() -> None:
    network = toy_network()
    norms = list(batch_norms(network).values())
    network.train()(IMAGES)
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()  # type: ignore[operator]
    network(IMAGES)
    network.eval()
    with renormalised(without := folded(network), CLEAN):
        added = list(batch_norms(without).values())
        assert len(added) == len(norms)
        for new, old in zip(added, norms, strict=True):
            gamma, beta = old.get_parameter("weight").abs(), old.get_parameter("bias")
            assert torch.allclose(new.get_parameter("weight"), gamma, rtol=0.05, atol=1e-3)
            assert torch.allclose(new.get_parameter("bias"), beta, atol=0.05)


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d,
        lambda width: nn.BatchNorm2d(width, affine=False),
        lambda w: nn.GroupNorm(1, w),
    ],
)
def test_a_network_with_normalisation_layers_is_left_alone(
    norm: Callable[[int], nn.Module],
) -> None:
    network = toy_network(norm=norm)
    state, modules = deepcopy(network.state_dict()), dict(network.named_modules())
    with renormalised(network, CLEAN):
        assert dict(network.named_modules()) == modules
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_from_one_image_no_statistics_are_taken() -> None:
    network = bare()
    with renormalised(network, CLEAN.take(torch.tensor([0]))):
        assert not batch_norms(network)


def test_labels_are_not_read() -> None:
    network = bare()
    statistics = []
    for labels in (CLEAN.labels, CLEAN.labels.flip(0)):
        with renormalised(network, replace(CLEAN, labels=labels)):
            statistics.append(
                [norm.get_buffer("running_mean") for norm in batch_norms(network).values()]
            )
    assert len(statistics[0]) == 3
    assert all(torch.equal(a, b) for a, b in zip(*statistics, strict=True))

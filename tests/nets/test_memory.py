from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from backaudit.nets import memory
from backaudit.nets.memory import BUDGET, FEWEST, images_at_once
from tests.toy import toy_network

WINDOWS: dict[str, Callable[[Tensor], Tensor]] = {
    "maps": lambda images: images,
    "flat": lambda images: images.flatten(),
    "windows": lambda images: images.reshape(-1, 8, 8),
    "tokens first": lambda images: images.flatten(2).permute(2, 0, 1),
}


@pytest.mark.parametrize("shape", WINDOWS)
def test_what_is_saved_is_counted_whatever_its_shape(shape: str) -> None:
    # An exponential keeps its result and nothing else.
    example = torch.rand(2, 3, 256, 256)
    found = images_at_once(lambda images: WINDOWS[shape](images).exp().exp(), example)
    assert found == BUDGET // (2 * 3 * 256 * 256 * 4)


def test_weights_are_not_counted() -> None:
    heavy = torch.rand(3 * 8 * 8, 2000)
    found = images_at_once(lambda images: (images.flatten(1) @ heavy).exp(), torch.rand(2, 3, 8, 8))
    assert found == BUDGET // (2000 * 4)


def test_a_smaller_network_takes_more_images() -> None:
    small, large = toy_network(), nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), toy_network())
    example = torch.rand(2, 3, 12, 12)
    assert images_at_once(small, example) > images_at_once(large, example)
    assert images_at_once(small, torch.rand(2, 3, 24, 24)) < images_at_once(small, example) / 3


def test_batch_statistics_always_get_their_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "BUDGET", 1000)
    assert images_at_once(toy_network(), torch.rand(2, 3, 12, 12)) == FEWEST


def test_the_network_and_the_images_are_left_alone() -> None:
    network, example = toy_network(), torch.rand(2, 3, 12, 12)
    images_at_once(network, example)
    assert not example.requires_grad
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())

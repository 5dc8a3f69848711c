import math

import pytest
import torch
from torch import nn

from backaudit.loading.preparation.consistency import (
    divergence,
    has_statistics,
    operations,
    shifted,
)
from backaudit.loading.preparation.conventions import UNIT
from tests.loading.samples import TintNet, tinted, trained_on


def test_divergence_of_the_training_images_is_nothing() -> None:
    images = tinted()[0]
    network = trained_on(images, UNIT)
    # torch keeps the unbiased variance, which differs from ours by one in 3840.
    assert divergence(network, images.float() / 255) == pytest.approx(0, abs=1e-6)


def test_divergence_is_that_between_normal_distributions() -> None:
    network = nn.Sequential(nn.BatchNorm1d(1, eps=0)).eval()
    network[0].running_mean.fill_(1.0)
    network[0].running_var.fill_(4.0)
    inputs = torch.tensor([[-3.0], [3.0]])
    expected = 0.5 * (math.log(4 / 9) + (9 + 1) / 4 - 1)
    assert divergence(network, inputs) == pytest.approx(expected)


def test_one_wild_channel_does_not_decide() -> None:
    images = tinted()[0].float() / 255
    network = trained_on(tinted()[0], UNIT)
    network.bn.running_mean[0] = 1e6
    assert divergence(network, images) < 0.01


def test_first_layers_are_enough_on_request() -> None:
    calls: list[int] = []
    last = nn.Conv2d(3, 3, 1)
    last.register_forward_hook(lambda *_: calls.append(1))
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), last).eval()
    inputs = torch.rand(4, 3, 8, 8)
    divergence(network, inputs, layers=1)
    assert not calls
    divergence(network, inputs)
    assert calls
    assert operations(network, inputs, 1) == 0
    assert operations(network, inputs) == 2 * 4 * 8 * 8 * 9


def test_overflow_ranks_last() -> None:
    network = trained_on(tinted()[0], UNIT)
    assert divergence(network, torch.full((4, 3, 8, 8), float("nan"))) == math.inf


@pytest.mark.parametrize("inputs", [torch.rand(4, 3, 8, 8), torch.rand(4, 7, 8, 8)])
def test_hooks_come_off_even_after_an_error(inputs: torch.Tensor) -> None:
    network = TintNet().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        divergence(network, inputs)
    except RuntimeError:
        assert inputs.shape[1] == 7
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_only_running_statistics_count() -> None:
    assert has_statistics(TintNet())
    assert not has_statistics(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)))
    assert not has_statistics(nn.Sequential(nn.GroupNorm(1, 3)))


def test_shift_brings_in_a_black_border_and_is_repeatable() -> None:
    images = torch.ones(50, 1, 16, 16)
    moved = shifted(images)
    assert moved.shape == images.shape
    assert 0.7 < float(moved.mean()) < 0.95
    assert torch.equal(moved, shifted(images))
    # At most an eighth, 2 of 16 pixels, each way: the middle is always picture.
    assert float(moved[:, :, 2:14, 2:14].min()) == 1

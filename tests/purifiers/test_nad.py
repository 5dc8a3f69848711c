from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from backaudit.core.errors import NotApplicableError
from backaudit.purifiers.nad import NAD, Distillation, attention
from tests.conftest import ToyWorld
from tests.purifiers.toys import repaired, success
from tests.toy import draw_images, toy_network

QUICK = NAD(epochs=6, teacher_epochs=4, bf16=False)


def test_the_backdoor_is_gone_and_the_accuracy_is_not(toy_world: ToyWorld) -> None:
    found = repaired(QUICK, toy_world.backdoored)
    assert success(toy_world.backdoored.network) > 0.9
    assert found.success < 0.3
    assert found.accuracy > 0.97
    assert found.measurements["stage_ends"] == ["2", "5", "8"]


def test_a_benign_network_is_not_harmed(toy_world: ToyWorld) -> None:
    assert repaired(QUICK, toy_world.benign).accuracy > 0.98


def test_attention_by_hand() -> None:
    features = torch.tensor([[[[1.0, 0.0]], [[-1.0, 2.0]]]])
    length = (2**2 + 4**2) ** 0.5
    expected = torch.tensor([[[2 / length, 4 / length]]])
    torch.testing.assert_close(attention(features, 2.0), expected)
    assert attention(torch.zeros(1, 2, 3, 3), 2.0).isfinite().all()


def test_the_loss_is_the_cross_entropy_and_the_weighted_distances_of_attention() -> None:
    images, labels = draw_images(3, 1)
    shown = images.float() / 255
    network, teacher = toy_network().train(), toy_network(seed=1)
    assert isinstance(network, nn.Sequential)
    assert isinstance(teacher, nn.Sequential)
    twin = deepcopy(network)
    expected = F.cross_entropy(twin(shown), labels)
    twin = deepcopy(network)
    own, other = twin[:6](shown), teacher[:6](shown)
    expected = expected + 3 * F.mse_loss(attention(own, 2.0), attention(other, 2.0))
    own, other = twin[6:9](own), teacher[6:9](other)
    expected = expected + 7 * F.mse_loss(attention(own, 2.0), attention(other, 2.0))
    objective = Distillation(teacher, ("5", "8"), (3.0, 7.0), 2.0)
    torch.testing.assert_close(objective.loss(network, shown, labels), expected)


def test_a_network_without_maps_is_refused() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(432, 8), nn.ReLU(), nn.Linear(8, 6))
    with pytest.raises(NotApplicableError, match="no feature maps of two sizes"):
        repaired(QUICK, flat)

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.errors import DivergedError, NotApplicableError
from backaudit.nets.layers import linear_maps
from backaudit.purifiers import tsbd
from backaudit.purifiers.tsbd import (
    TSBD,
    ActivenessAware,
    Unlearning,
    examined_layers,
    reinitialise,
    weight_changes,
)
from tests.conftest import ToyWorld
from tests.purifiers.toys import repaired, success
from tests.toy import draw_images, toy_network

QUICK = TSBD(epochs=4, unlearning_rate=1e-3, bf16=False)


def test_the_backdoor_is_gone_and_the_accuracy_is_not(toy_world: ToyWorld) -> None:
    found = repaired(QUICK, toy_world.backdoored)
    assert success(toy_world.backdoored.network) > 0.9
    assert found.success < 0.05
    assert found.accuracy > 0.98


def test_a_benign_network_is_not_harmed(toy_world: ToyWorld) -> None:
    assert repaired(QUICK, toy_world.benign).accuracy > 0.98


def test_unlearning_ends_at_the_accuracy_of_chance(toy_world: ToyWorld) -> None:
    unlearning = repaired(QUICK, toy_world.backdoored).measurements["unlearning"]
    assert unlearning["accuracy"] <= 1 / 6
    assert 1 < unlearning["epochs"] < 100


def test_an_unlearning_that_leaps_out_of_range_is_taken_as_far_as_it_went(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is asked for an accuracy that it cannot have, so that its rate grows until it diverges.
    monkeypatch.setattr(tsbd, "count_classes", lambda *_: -1)
    found = repaired(QUICK, toy_world.backdoored)
    assert 1 < found.measurements["unlearning"]["epochs"] < QUICK.unlearning_epochs
    assert found.success < 0.05
    assert found.accuracy > 0.9


def test_an_unlearning_that_leaps_at_once_is_an_error(toy_world: ToyWorld) -> None:
    with pytest.raises(DivergedError, match="step"):
        repaired(replace(QUICK, unlearning_rate=1e30), toy_world.backdoored)


def layers(*weights: list[list[float]]) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {}
    for index, weight in enumerate(weights):
        layer = nn.Linear(len(weight[0]), len(weight))
        layer.weight = nn.Parameter(torch.tensor(weight))
        found[f"layer {index}"] = layer
    return found


def test_zeroing_by_hand() -> None:
    here = layers([[1.0, 1, 1], [2, 2, 2]], [[3.0, 3], [4, 4]])
    unlearned = layers([[1.0, 1, 1.5], [2.4, 1.7, 2]], [[2.4, 3.2], [4, 4.3]])
    changes = weight_changes(here, unlearned)
    assert [change.sum(1).tolist() for change in changes.values()] == [
        pytest.approx([0.5, 0.7]),
        pytest.approx([0.8, 0.3]),
    ]
    # Half of four neurons: those with 0.8 and 0.7. Of their five weights, int(5 * 0.7) = 3.
    done = reinitialise(here, changes, neurons=0.5, weights=0.7)
    assert done == {"neurons": 2, "weights": 3}
    assert [layer.get_parameter("weight").tolist() for layer in here.values()] == [
        [[1, 1, 1], [0, 0, 2]],
        [[0, 3], [4, 4]],
    ]


def test_weights_that_changed_equally_are_zeroed_together() -> None:
    here = layers([[1.0, 1, 1, 1], [2, 2, 2, 2]])
    changes = {"layer 0": torch.tensor([[0.5, 0.5, 0.5, 0.1], [0.0, 0, 0, 0]])}
    assert reinitialise(here, changes, neurons=0.5, weights=0.25)["weights"] == 3
    assert here["layer 0"].get_parameter("weight").tolist() == [[0, 0, 0, 1], [2, 2, 2, 2]]


def test_at_least_one_neuron_and_one_weight_are_zeroed() -> None:
    here = layers([[1.0, 1], [2, 2]])
    changes = {"layer 0": torch.tensor([[0.1, 0.2], [0.4, 0.3]])}
    done = reinitialise(here, changes, neurons=0.01, weights=0.01)
    assert done == {"neurons": 1, "weights": 1}
    assert here["layer 0"].get_parameter("weight").tolist() == [[1, 1], [0, 2]]


class Block(nn.Module):
    """Convolutions, one of them a shortcut, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.conv2 = nn.Conv2d(4, 4, 3)
        self.shortcut = nn.Sequential(nn.Conv2d(3, 4, 1))
        self.downsample = nn.Sequential(nn.Conv2d(3, 4, 1))
        self.linear = nn.Linear(4, 2)


def test_neurons_are_sought_in_convolutions_that_are_no_shortcut() -> None:
    assert list(examined_layers(Block())) == ["conv1", "conv2"]


def test_without_two_convolutions_linear_layers_but_the_last_count() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    assert list(examined_layers(network)) == ["0", "1", "2"]
    assert list(examined_layers(network[1:])) == ["1", "2"]


def test_a_classifier_alone_has_no_neurons() -> None:
    with pytest.raises(NotApplicableError, match="no layer whose neurons"):
        examined_layers(nn.Sequential(nn.Flatten(), nn.Linear(27, 2)))


def drawn() -> tuple[Tensor, Tensor]:
    images, labels = draw_images(3, 1)
    return images.float() / 255, labels


def test_unlearning_raises_the_cross_entropy() -> None:
    network, (images, labels) = toy_network(), drawn()
    loss = Unlearning().loss(network, images, labels)
    torch.testing.assert_close(loss, -F.cross_entropy(network(images), labels))


def gradients(network: nn.Module) -> dict[str, Tensor]:
    images, labels = drawn()
    names, weights = zip(*network.named_parameters(), strict=True)
    loss = F.cross_entropy(network(images), labels)
    return dict(zip(names, torch.autograd.grad(loss, weights), strict=True))


@pytest.mark.parametrize(("radius", "mix"), [(0.05, 0.7), (0.5, 0.2)])
def test_the_step_goes_along_the_gradients_here_and_up_the_loss(radius: float, mix: float) -> None:
    network, (images, labels) = toy_network().train(), drawn()
    here = gradients(deepcopy(network))
    moved = deepcopy(network)
    with torch.no_grad():
        for name, weight in moved.named_parameters():
            weight.add_(radius * here[name] / here[name].norm())
    there = gradients(moved)

    objective, before = ActivenessAware(radius=radius, mix=mix), deepcopy(network)
    loss = objective.differentiate(network, lambda: objective.loss(network, images, labels))
    other = before(images)
    torch.testing.assert_close(loss, F.cross_entropy(other, labels).detach())
    for name, weight in network.named_parameters():
        expected = (1 - mix) * here[name] + mix * there[name]
        torch.testing.assert_close(weight.grad, expected)
        assert torch.equal(weight, before.get_parameter(name))
    # The running statistics are those of one pass with the weights as they are.
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, before.get_buffer(name))


def test_a_weight_without_a_gradient_is_not_moved() -> None:
    network, (images, labels) = toy_network().train(), drawn()
    with torch.no_grad():
        linear_maps(network)["11"].get_parameter("weight").zero_()
    network.register_parameter("aside", nn.Parameter(torch.ones(2)))
    objective = ActivenessAware()
    objective.differentiate(network, lambda: objective.loss(network, images, labels))
    assert all(bool(weight.grad.isfinite().all()) for weight in network.parameters())  # type: ignore[union-attr]
    assert network.get_parameter("aside").tolist() == [1, 1]


@pytest.mark.parametrize(
    "setting", [{"neurons": 0.0}, {"neurons": 1.5}, {"weights": 1.5}, {"unlearning_epochs": 0}]
)
def test_settings_that_no_network_could_be_purified_with_are_refused(
    setting: dict[str, Any],
) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        TSBD(**setting)

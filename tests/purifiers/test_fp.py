import pytest
import torch
from torch import nn

from backaudit.core.errors import NotApplicableError
from backaudit.purifiers import FP
from backaudit.purifiers.fp import activity_ranks
from tests.conftest import ToyWorld
from tests.purifiers.toys import PARTS, accuracy, repaired, success
from tests.toy import CLASSES, suspect_of, toy_network, unusual

ONLY_PRUNE = FP(epochs=0)
SHORT = FP(epochs=6, batch_size=60, bf16=False)


def test_channels_are_ranked_by_their_mean_activity() -> None:
    vectors = torch.tensor([[1.0, 9.0, 5.0], [3.0, 1.0, 0.0]])
    assert activity_ranks(vectors, 3).tolist() == pytest.approx([1 / 3, 1, 2 / 3])


def test_a_channel_is_as_active_as_the_mean_over_its_positions() -> None:
    vectors = torch.tensor([[9.0, 0.0, 5.0, 5.0, 1.0, 2.0]])
    assert activity_ranks(vectors, 3).tolist() == pytest.approx([2 / 3, 1, 1 / 3])


def test_pruning_removes_the_backdoor(toy_world: ToyWorld) -> None:
    network, measured = repaired(ONLY_PRUNE, toy_world.backdoored)
    assert success(toy_world.backdoored.network) > 0.9
    assert success(network) < 0.2
    assert measured["pruned_channels"] > 3
    fall = measured["validation_accuracy_after"] / measured["validation_accuracy_before"]
    assert fall >= 0.9


def test_fine_tuning_restores_the_accuracy(toy_world: ToyWorld) -> None:
    network, measured = repaired(SHORT, toy_world.backdoored)
    assert success(network) < 0.5
    assert accuracy(network) >= accuracy(toy_world.backdoored.network) - 0.03
    assert measured["epochs"] > 0


def test_what_was_pruned_stays_so_while_fine_tuning(toy_world: ToyWorld) -> None:
    network, measured = repaired(SHORT, toy_world.backdoored)
    silent = network.get_parameter("11.weight").eq(0).all(0)
    assert int(silent.sum()) == measured["pruned_channels"] > 0


def test_a_benign_network_is_as_good_as_before(toy_world: ToyWorld) -> None:
    network, _ = repaired(SHORT, toy_world.benign)
    assert accuracy(network) >= accuracy(toy_world.benign.network) - 0.03


def test_only_the_least_active_channels_are_pruned(toy_world: ToyWorld) -> None:
    suspect = toy_world.backdoored
    network, measured = repaired(ONLY_PRUNE, suspect)
    silent = network.get_parameter("11.weight").eq(0).all(0)
    features = nn.Sequential(*list(suspect.network.children())[:11])
    activity = features(PARTS.fit.images.float() / 255).mean(0)
    assert activity[silent].max() < activity[~silent].min()
    assert measured["channels"] == 32


def test_a_channel_of_several_inputs_counts_once() -> None:
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(5), nn.Flatten())
    network = unusual(nn.Sequential(*layers, nn.Linear(16, CLASSES)))
    always = FP(largest_relative_drop=1.0, step=0.25, epochs=0)
    after, measured = repaired(always, suspect_of(network))
    assert measured["pruned_channels"] == 3
    silent = after.get_parameter("4.weight").eq(0).all(0).view(4, 4)
    assert silent.all(1).sum() == 3
    assert silent.any(1).sum() == 3


def test_a_network_whose_head_has_several_layers_is_pruned_at_the_first() -> None:
    head = nn.Sequential(nn.Linear(32, 10), nn.ReLU(), nn.Linear(10, CLASSES))
    network = nn.Sequential(*list(toy_network().children())[:-1], head)
    _, measured = repaired(FP(largest_relative_drop=1.0, epochs=0), suspect_of(network))
    assert measured["pruned_by_layer"] == {"11.0": 31}


def test_a_network_without_a_linear_layer_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, CLASSES, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(NotApplicableError, match="last convolution"):
        repaired(SHORT, suspect_of(network))


@pytest.mark.parametrize(("step", "kept"), [(0.3, 4), (0.6, 13), (0.25, 8)])
def test_steps_go_as_far_as_they_leave_a_channel(step: float, kept: int) -> None:
    suspect = suspect_of(toy_network())
    _, measured = repaired(FP(largest_relative_drop=1.0, step=step, epochs=0), suspect)
    assert measured["pruned_channels"] == 32 - kept


@pytest.mark.parametrize("step", [0.0, 1.0, 1.5])
def test_a_step_that_leads_nowhere_is_refused(step: float) -> None:
    with pytest.raises(ValueError, match="step"):
        FP(step=step)

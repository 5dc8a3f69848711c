from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backaudit.nets.layers import batch_norms
from backaudit.purifiers import RNP
from backaudit.purifiers.rnp import Unlearning
from tests.conftest import ToyWorld
from tests.purifiers.toys import accuracy, repaired, success
from tests.toy import clean_set, toy_network

SHORT = RNP(batch_size=60, recovering_epochs=10, bf16=False)


def test_the_backdoor_goes_and_the_accuracy_stays(toy_world: ToyWorld) -> None:
    network, measured = repaired(SHORT, toy_world.backdoored)
    assert success(toy_world.backdoored.network) > 0.9
    assert success(network) < 0.2
    assert accuracy(network) >= accuracy(toy_world.backdoored.network) - 0.03
    assert measured["pruned_channels"] > 0


def test_a_benign_network_is_not_hurt_by_more_than_the_bound(toy_world: ToyWorld) -> None:
    network, measured = repaired(SHORT, toy_world.benign)
    assert accuracy(network) >= accuracy(toy_world.benign.network) - 0.03
    drop = measured["validation_accuracy_before"] - measured["validation_accuracy_after"]
    assert drop <= SHORT.largest_drop


def test_the_network_itself_is_pruned_and_not_the_copy_that_unlearned(toy_world: ToyWorld) -> None:
    before = toy_world.backdoored.network.state_dict()
    network, measured = repaired(SHORT, toy_world.backdoored)
    changed = {name for name, now in network.state_dict().items() if not now.equal(before[name])}
    assert changed == {f"{layer}.weight" for layer in measured["pruned_by_layer"]}


def test_unlearning_ends_a_ninth_of_the_way_from_chance_to_one(toy_world: ToyWorld) -> None:
    _, measured = repaired(RNP(batch_size=60, recovering_epochs=1), toy_world.backdoored)
    assert measured["unlearning_was_to_end_at"] == pytest.approx(1 / 6 + 5 / 54)
    assert measured["unlearned_accuracy"] <= measured["unlearning_was_to_end_at"]
    assert measured["unlearning_epochs"] < 21


def test_unlearning_goes_on_while_the_network_knows_images_by_the_statistics_of_batches(
    toy_world: ToyWorld,
) -> None:
    network = deepcopy(toy_world.backdoored.network)
    for layer in batch_norms(network).values():
        layer.get_buffer("running_mean").add_(1000)
    assert accuracy(network) < 0.2
    still = RNP(unlearning_epochs=1, unlearning_rate=1e-6, recovering_epochs=1, batch_size=60)
    _, measured = repaired(still, network)
    assert measured["unlearned_accuracy"] > 0.9


def test_masks_are_learned_also_if_unlearning_never_ends(toy_world: ToyWorld) -> None:
    stuck = RNP(unlearning_epochs=1, unlearning_rate=1e-6, recovering_epochs=1, batch_size=60)
    _, measured = repaired(stuck, toy_world.backdoored)
    assert measured["unlearned_accuracy"] > 0.9
    assert measured["neurons"] == 8 + 16 + 32


@pytest.mark.parametrize("largest", [1e-3, 1e3])
def test_gradients_that_raise_the_loss_are_clipped_after_they_are_computed(largest: float) -> None:
    network, clean = toy_network().train(), clean_set(2)
    images = clean.images.float() / 255
    weights = list(network.parameters())
    plain = torch.autograd.grad(F.cross_entropy(network(images), clean.labels), weights)
    objective = Unlearning(largest)

    def loss() -> Tensor:
        return objective.loss(network, images, clean.labels)

    objective.differentiate(network, loss)
    norm = float(torch.cat([each.flatten() for each in plain]).norm())
    factor = -min(1.0, largest / norm)
    for weight, gradient in zip(weights, plain, strict=True):
        assert weight.grad is not None
        assert torch.allclose(weight.grad, factor * gradient, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("setting", ["unlearning_epochs", "recovering_epochs"])
def test_to_unlearn_or_recover_nothing_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=setting):
        RNP(**{setting: 0})

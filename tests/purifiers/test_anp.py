from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import DivergedError, NotApplicableError
from backaudit.nets.stages import NoStages
from backaudit.purifiers import ANP
from backaudit.purifiers.anp import differentiated
from tests.conftest import ToyWorld
from tests.purifiers.toys import PARTS, accuracy, repaired, success
from tests.toy import CLASSES, suspect_of, toy_network

SHORT = ANP(steps=40, batch_size=64, bf16=False)


class Broken(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return logits / 0


def test_the_backdoor_goes_and_the_accuracy_stays(toy_world: ToyWorld) -> None:
    network, measured = repaired(SHORT, toy_world.backdoored)
    assert success(toy_world.backdoored.network) > 0.9
    assert success(network) < 0.2
    assert accuracy(network) >= accuracy(toy_world.backdoored.network) - 0.03
    assert measured["pruned_channels"] == sum(measured["pruned_by_layer"].values()) > 0
    assert measured["masks_on"] == "batch-norm"


def test_a_benign_network_is_not_hurt_by_more_than_the_bound(toy_world: ToyWorld) -> None:
    network, measured = repaired(SHORT, toy_world.benign)
    assert accuracy(network) >= accuracy(toy_world.benign.network) - 0.03
    drop = measured["validation_accuracy_before"] - measured["validation_accuracy_after"]
    assert drop <= SHORT.largest_drop


def test_only_weights_of_batch_norm_are_pruned(toy_world: ToyWorld) -> None:
    before = toy_world.backdoored.network.state_dict()
    network, measured = repaired(SHORT, toy_world.backdoored)
    changed = {name for name, now in network.state_dict().items() if not now.equal(before[name])}
    assert changed == {f"{layer}.weight" for layer in measured["pruned_by_layer"]}
    for name in changed:
        now = network.get_parameter(name)
        assert (now.eq(before[name]) | now.eq(0)).all()


def test_masks_without_noise_are_not_asked_to_fall(toy_world: ToyWorld) -> None:
    quiet = ANP(steps=10, batch_size=64, budget=0.0, bf16=False)
    noisy = ANP(steps=10, batch_size=64, bf16=False)
    means = [repaired(each, toy_world.backdoored)[1]["mean_mask"] for each in (quiet, noisy)]
    assert means[0] > means[1]


def test_a_loss_that_is_done_with_keeps_its_value_and_gradient() -> None:
    masks = {"a": torch.tensor([0.5, 2.0]), "unused": torch.ones(3)}
    leaves = {name: mask.requires_grad_() for name, mask in masks.items()}
    done = differentiated((leaves["a"] ** 3).sum(), leaves)
    slopes = torch.autograd.grad(2 * done, list(leaves.values()))
    assert done.item() == 8.125
    assert torch.equal(slopes[0], 6 * masks["a"] ** 2)
    assert torch.equal(slopes[1], torch.zeros(3))


def test_without_normalisation_layers_channels_are_masked_themselves() -> None:
    suspect = suspect_of(toy_network(norm=lambda _: nn.Identity(), bias=True))
    network, measured = repaired(ANP(steps=3, batch_size=24, largest_drop=1.0), suspect)
    assert measured["masks_on"] == "neuron"
    assert measured["neurons"] == 8 + 16 + 32
    assert torch.equal(network.get_parameter("11.weight"), suspect.network[11].weight)  # type: ignore[index]


def test_a_network_of_one_layer_is_refused() -> None:
    single = nn.Sequential(nn.Flatten(), nn.Linear(432, CLASSES))
    with pytest.raises(NotApplicableError, match="noise"):
        repaired(SHORT, suspect_of(single))


def test_what_is_not_a_number_ends_it_before_anything_is_pruned() -> None:
    suspect = suspect_of(nn.Sequential(*toy_network().children(), Broken()))
    before = deepcopy(suspect.network.state_dict())
    with pytest.raises(DivergedError, match="step 1 of 40"):
        SHORT.purify(suspect.network, PARTS, seed=0, stages=NoStages())
    after = suspect.network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from backaudit.core.errors import NotApplicableError
from backaudit.core.seeding import seeded
from backaudit.nets.noise import draw_noise
from backaudit.purifiers.noise_ft import NoiseFT, NoiseLoss, learning_noise
from backaudit.purifiers.soft_labels import SoftLabels
from tests.conftest import ToyWorld
from tests.purifiers.toys import repaired, same, success
from tests.toy import draw_images, toy_network

QUICK = NoiseFT(epochs=4, learning_rate=0.01, bf16=False)


def test_the_noise_wakes_the_backdoor_and_it_is_forgotten(toy_world: ToyWorld) -> None:
    found = repaired(QUICK, toy_world.backdoored)
    silent = repaired(replace(QUICK, noise_weight=0.0), toy_world.backdoored)
    assert success(toy_world.backdoored.network) > 0.9
    assert found.success < 0.3 < 0.6 < silent.success
    assert found.accuracy > 0.98
    assert found.measurements["noise_on"] == "batch-norm"


def test_a_benign_network_is_not_harmed(toy_world: ToyWorld) -> None:
    assert repaired(QUICK, toy_world.benign).accuracy > 0.98


def test_a_seed_gives_the_same_network(toy_world: ToyWorld) -> None:
    short = replace(QUICK, epochs=1)
    first, again, other = (repaired(short, toy_world.backdoored, seed=seed) for seed in (1, 1, 2))
    assert same(first.network, again.network)
    assert not same(first.network, other.network)


def drawn() -> tuple[Tensor, Tensor]:
    images, labels = draw_images(4, 1)
    return images.float() / 255, labels


def noisy_loss(network: nn.Module, noise: dict[str, Tensor]) -> Tensor:
    """Cross-entropy in training mode with each noisy parameter times one plus its noise."""
    images, labels = drawn()
    parameters = {name: network.get_parameter(name) * (1 + noise[name]) for name in noise}
    return F.cross_entropy(functional_call(network, parameters, (images,)), labels)


@pytest.mark.parametrize(("steps", "clipped"), [(1, True), (1, False), (2, True)])
def test_the_loss_and_its_gradients_are_those_of_equation_8(steps: int, clipped: bool) -> None:
    settings = NoiseFT(steps=steps, clipped=clipped, noise_weight=0.4)
    network, (images, labels) = toy_network().train(), drawn()
    other = deepcopy(network)
    with seeded(5):
        NoiseLoss(learning_noise(network), settings, SoftLabels()).loss(
            network, images, labels
        ).backward()

    names = [name for name, weight in other.named_parameters() if weight.dim() == 1][:-1]
    shapes = {name: other.get_parameter(name).shape for name in names}
    drawn_noise = draw_noise(shapes, 0.3, [torch.Generator().manual_seed(5)], torch.device("cpu"))
    noise = {name: delta[0] for name, delta in drawn_noise.items()}
    reference = deepcopy(other)
    for _ in range(steps):
        leaves = {name: delta.clone().requires_grad_() for name, delta in noise.items()}
        noisy_loss(reference, leaves).backward()
        for name, leaf in leaves.items():
            assert leaf.grad is not None
            moved = leaf.detach() + 0.3 / steps * leaf.grad.sign()
            noise[name] = moved.clamp(-0.3, 0.3) if clipped else moved
    (0.4 * noisy_loss(other, noise)).backward()
    without = deepcopy(toy_network()).train()
    F.cross_entropy(without(images), labels).backward()
    for name, weight in network.named_parameters():
        with_noise, plain = other.get_parameter(name).grad, without.get_parameter(name).grad
        assert with_noise is not None
        assert plain is not None
        torch.testing.assert_close(weight.grad, with_noise + plain)
    # The running statistics are those of the pass without noise alone.
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, without.get_buffer(name))


@pytest.mark.parametrize("clipped", [True, False])
def test_noise_stays_in_its_range_only_if_it_is_clipped(clipped: bool) -> None:
    network, (images, labels) = toy_network().train(), drawn()
    objective = NoiseLoss(learning_noise(network), NoiseFT(clipped=clipped), SoftLabels())
    largest = max(float(delta.abs().max()) for delta in objective._worst(images, labels).values())
    assert largest == pytest.approx(0.3) if clipped else 0.5 < largest < 0.6


@pytest.mark.parametrize(
    ("norm", "kind"),
    [(lambda width: nn.GroupNorm(4, width), "other-norm"), (lambda _: nn.Identity(), "neuron")],
)
def test_networks_without_batch_norm_are_repaired_under_smaller_noise(norm: Any, kind: str) -> None:
    network, (images, labels) = toy_network(norm=norm, bias=True), drawn()
    objective = NoiseLoss(learning_noise(network), NoiseFT(), SoftLabels())
    noise = objective._worst(images, labels)
    largest = max(float(delta.abs().max()) for delta in noise.values())
    assert largest == pytest.approx(0.1)
    found = repaired(NoiseFT(epochs=1), network)
    assert found.measurements["noise_on"] == kind
    assert found.measurements["recalibrated"] is False
    assert not same(found.network, network)


def test_a_classifier_alone_has_no_neurons() -> None:
    with pytest.raises(NotApplicableError, match="neurons"):
        repaired(NoiseFT(), nn.Sequential(nn.Flatten(), nn.Linear(432, 6)))

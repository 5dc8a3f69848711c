from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import DivergedError, NotApplicableError
from backaudit.nets.stages import NoStages
from backaudit.nets.training import Along, CrossEntropy, Training
from backaudit.purifiers import finetuning
from backaudit.purifiers.finetuning import (
    FineTuning,
    recalibrate_unless_worse,
    train_on_clean,
    trainable,
)
from backaudit.purifiers.interface import Parts
from tests.conftest import ToyWorld
from tests.toy import clean_set, toy_network

PLAIN = Training(epochs=1, learning_rate=0.0, batch_size=40, weight_decay=0.0, schedule="constant")


class Sizes(CrossEntropy):
    """Notes how large batches are."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "seen", [])

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        self.seen.append(len(images))  # type: ignore[attr-defined]
        return super().loss(network, images, labels)


def images(count: int, size: int = 12) -> CleanSet:
    drawn, labels = torch.zeros(count, 3, size, size, dtype=torch.uint8), torch.arange(count) % 6
    return CleanSet(drawn, labels, True, "memory", "by index")


def done(network: nn.Module, parts: Parts, **given: Any) -> dict[str, Any]:
    return train_on_clean(network, parts, PLAIN, seed=0, along=Along(), **given)


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [
        (2500, 256, [250] * 10),
        (2600, 256, [237] * 10 + [230]),
        (500, 256, [50] * 10),
        (500, 128, [32] * 15 + [20]),
        (100, 256, [25] * 12),
        (33, 128, [17] * 11 + [11]),
        (20, 128, [20] * 10),
        (40, 16, [14] * 11 + [6]),
    ],
)
def test_few_images_make_as_many_steps_as_many_do_and_no_batch_is_tiny(
    count: int, batch_size: int, sizes: list[int]
) -> None:
    network, sizing = nn.Sequential(nn.Flatten(), nn.Linear(12, 6)), Sizes()
    training = replace(PLAIN, batch_size=batch_size)
    parts = Parts(images(count, 2), images(1, 2))
    found = train_on_clean(network, parts, training, seed=0, along=Along(), objective=sizing)
    assert sizing.seen == sizes  # type: ignore[attr-defined]
    assert (found["epochs"], found["steps"]) == (1, len(sizes))


def test_too_few_images_are_refused() -> None:
    with pytest.raises(NotApplicableError, match="19 clean images to repair it with, and 20"):
        done(toy_network(), Parts(images(19), images(5)))


@pytest.mark.parametrize(("size", "shift"), [(32, 4), (12, 1), (7, 0)])
def test_images_are_shifted_by_an_eighth_of_their_size(size: int, shift: int) -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 6))
    assert done(network, Parts(images(20, size), images(5, size)))["shifted_by"] == shift


def test_images_are_not_mirrored_if_the_network_does_not_know_them_then(
    toy_world: ToyWorld,
) -> None:
    network, clean = toy_world.benign.network, clean_set(10)
    mirrored = replace(
        clean, images=torch.cat([clean.images[..., :6], clean.images[..., :6].flip(3)], 3)
    )
    known = replace(mirrored, labels=toy_world.benign.logits(mirrored.images).argmax(1))
    assert not done(network, Parts(clean, clean))["mirrored"]
    assert done(network, Parts(known, known))["mirrored"]


def test_two_of_a_hundred_images_may_be_lost_to_mirroring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = Parts(images(80), images(20))
    for lost, expected in ((0.02, True), (0.04, True), (0.05, False)):
        accuracies = {
            (80, False): 0.9,
            (80, True): 0.9,
            (20, False): 0.9,
            (20, True): 0.9 - lost * 2.5,
        }
        monkeypatch.setattr(
            finetuning,
            "accuracy_on",
            lambda _, part, *, mirrored=False, known=accuracies: known[len(part), mirrored],
        )
        assert done(toy_network(), parts)["mirrored"] is expected


def test_weights_learn_inside_the_block_and_are_left_as_they_were() -> None:
    network = toy_network()
    _, *others = network.parameters()
    for other in others:
        other.requires_grad_(False)
    with pytest.raises(ZeroDivisionError), trainable(network):
        assert all(weight.requires_grad for weight in network.parameters())
        network(torch.rand(2, 3, 12, 12)).sum().backward()
        raise ZeroDivisionError
    assert [weight.requires_grad for weight in network.parameters()] == [True] + [False] * len(
        others
    )
    assert all(weight.grad is None for weight in network.parameters())


def statistics(network: nn.Module) -> Tensor:
    return torch.cat([buffer.float().flatten() for buffer in network.buffers()])


def test_recalibrated_statistics_are_kept_unless_they_cost_accuracy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, parts = toy_network(), Parts(clean_set(5), clean_set(3))
    before = statistics(network)
    for accuracies, kept in (((0.7, 0.6), False), ((0.7, 0.7), True)):
        coming = iter(accuracies)
        monkeypatch.setattr(finetuning, "accuracy_on", lambda *_, it=coming: next(it))
        assert recalibrate_unless_worse(network, parts) is kept
        assert torch.equal(statistics(network), before) is not kept


def test_a_network_without_batch_norm_is_not_recalibrated() -> None:
    network = toy_network(norm=lambda width: nn.GroupNorm(4, width))
    assert not recalibrate_unless_worse(network, Parts(clean_set(5), clean_set(3)))


class Blowing(CrossEntropy):
    """Becomes infinite in the third epoch."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "steps", [])

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        self.steps.append(len(images))  # type: ignore[attr-defined]
        loss = super().loss(network, images, labels)
        return loss / 0 if sum(self.steps) > 600 else loss  # type: ignore[attr-defined]


def test_a_network_that_diverges_is_left_in_its_last_good_state() -> None:
    parts, networks = Parts(clean_set(10), clean_set(3)), (toy_network(), toy_network())
    training = replace(PLAIN, epochs=4, learning_rate=0.01)
    tuning = FineTuning(training, 9, recalibrate=False, name="toy")
    with pytest.raises(DivergedError, match="at step 21 of 40"):
        tuning.run(networks[0], parts, seed=0, stages=NoStages(), objective=Blowing())
    two = replace(tuning, training=replace(training, epochs=2))
    two.run(networks[1], parts, seed=0, stages=NoStages())
    left, expected = (network.state_dict() for network in networks)
    assert all(torch.equal(left[name], expected[name]) for name in left)
    assert not networks[0].training

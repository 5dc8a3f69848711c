from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from backaudit.attacks import Learned, Narcissus, TrainingSet
from backaudit.core.errors import SettingError
from tests.conftest import ToyWorld
from tests.toy import CLASSES, TARGET, draw_images

ATTACK = Narcissus(TARGET, poison_rate=0.05, rounds=30, learning_rate=0.1)


def clean_set() -> TrainingSet:
    return TrainingSet(*draw_images(20, 0), CLASSES)


@pytest.fixture
def learned(toy_world: ToyWorld, generator: torch.Generator) -> Learned:
    return ATTACK.learn(clean_set(), toy_world.benign.network, generator)


def test_the_noise_makes_a_network_more_certain_of_the_target_class(
    learned: Learned, toy_world: ToyWorld
) -> None:
    images, labels = draw_images(20, 7)
    losses = [
        F.cross_entropy(toy_world.benign.logits(shown[labels == TARGET]), labels[labels == TARGET])
        for shown in (images, ATTACK.stamp_for_training(images, learned))
    ]
    assert losses[1] < 0.5 * losses[0]


def test_the_noise_stays_within_its_bound_and_grows_at_test(learned: Learned) -> None:
    assert learned["noise"].abs().max() == pytest.approx(16)
    grey = torch.full((1, 3, 12, 12), 128, dtype=torch.uint8)
    training = ATTACK.stamp_for_training(grey, learned).float() - 128
    assert torch.equal(training[0], learned["noise"].round())
    assert training.abs().max() == 16
    assert (ATTACK.stamp(grey, learned).float() - 128).abs().max() == 48


def test_a_handful_of_the_target_class_is_poisoned_and_no_label_is_wrong(
    learned: Learned, generator: torch.Generator
) -> None:
    clean = clean_set()
    poisoned = ATTACK.poison(clean, learned, generator)
    changed = (poisoned.images != clean.images).flatten(1).any(1)
    assert int(changed.sum()) == 6
    assert (clean.labels[changed] == TARGET).all()
    assert torch.equal(poisoned.labels, clean.labels)
    faint = ATTACK.stamp_for_training(clean.images[changed], learned)
    assert torch.equal(poisoned.images[changed], faint)


def test_the_published_rate_is_25_of_50000(generator: torch.Generator) -> None:
    labels = torch.arange(50_000) % 10
    clean = TrainingSet(torch.zeros(50_000, 1, 1, 1, dtype=torch.uint8), labels, 10)
    assert len(Narcissus(TARGET).choose(clean, generator)) == 25


def test_the_surrogate_is_left_alone(toy_world: ToyWorld) -> None:
    network = toy_world.benign.network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ATTACK.learn(clean_set(), network, torch.Generator().manual_seed(0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_without_a_surrogate_or_a_target_it_is_refused(
    toy_world: ToyWorld, generator: torch.Generator
) -> None:
    with pytest.raises(SettingError, match="surrogate"):
        ATTACK.learn(clean_set(), None, generator)
    with pytest.raises(SettingError, match="class 9"):
        replace(ATTACK, target_class=9).learn(clean_set(), toy_world.benign.network, generator)

"""The toy world: images, a benign and a backdoored network, trained once a session."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from backaudit.attacks import BadNets, TrainingSet
from backaudit.core.clean_set import CleanSet
from backaudit.core.seeding import seeded
from backaudit.core.suspect import Suspect
from backaudit.nets.epochs import Epochs
from backaudit.nets.training import Training, train
from tests.toy import CLASSES, TARGET, clean_set, draw_images, suspect_of, toy_network

# Tensors are so small here that threads would only wait for one another.
torch.set_num_threads(1)

ATTACK = BadNets(TARGET, poison_rate=0.1)


@dataclass(frozen=True)
class ToyWorld:
    """A benign and a backdoored suspect, and what each learned from.

    Args:
        benign: learned clean images.
        backdoored: learned the same, some of them poisoned.
        attack: put the trigger into them.
        clean: images that neither learned.
    """

    benign: Suspect
    backdoored: Suspect
    attack: BadNets
    clean: CleanSet


def trained(data: tuple[Tensor, Tensor], seed: int) -> Suspect:
    channels = data[0].shape[1]
    network = toy_network(channels, seed=seed)
    train(network, Epochs.alike(*data), Training(epochs=8, batch_size=50, shift=1), seed=seed)
    return suspect_of(network, channels)


@pytest.fixture(scope="session")
def toy_world() -> ToyWorld:
    images, labels = draw_images(100, seed=1)
    clean = TrainingSet(images, labels, CLASSES)
    poisoned = ATTACK.poison(clean, {}, torch.Generator().manual_seed(0))
    return ToyWorld(
        trained((images, labels), 0),
        trained((poisoned.images, poisoned.labels), 0),
        ATTACK,
        clean_set(),
    )


@pytest.fixture(scope="session")
def grey_suspect() -> Suspect:
    """A benign suspect that reads images of one channel."""
    return trained(draw_images(50, seed=1, channels=1), 0)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def same_random_numbers() -> Iterator[None]:
    """Every test draws the same numbers, whichever tests ran before."""
    with seeded(0):
        yield

"""Clean images to repair toys with, and what repairing them is measured by."""

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import nn

from backaudit.core.suspect import Suspect, as_input
from backaudit.nets.metrics import attack_success_rate
from backaudit.nets.stages import NoStages
from backaudit.nets.watching import accuracy_on
from backaudit.purifiers.interface import Measurements, Parts, Purifier
from tests.conftest import ATTACK
from tests.toy import TARGET, clean_set

PARTS = Parts(*clean_set(40).split(0.75))
MEASURED = clean_set(40, seed=77)


class Repaired(NamedTuple):
    """A network that a purifier has repaired, and what the purifier said."""

    network: nn.Module
    measurements: Measurements

    @property
    def accuracy(self) -> float:
        return accuracy(self.network)

    @property
    def success(self) -> float:
        return success(self.network)


def repaired(purifier: Purifier, suspect: Suspect | nn.Module, *, seed: int = 0) -> Repaired:
    network = deepcopy(suspect.network if isinstance(suspect, Suspect) else suspect)
    return Repaired(network, purifier.purify(network, PARTS, seed=seed, stages=NoStages()))


def accuracy(network: nn.Module) -> float:
    """On images that the purifier did not see."""
    return accuracy_on(network, MEASURED)


@torch.no_grad()
def success(network: nn.Module) -> float:
    """How often the trigger of the toy world works on images that the purifier did not see."""
    images = as_input(ATTACK.stamp(MEASURED.images, {}), torch.device("cpu"))
    return attack_success_rate(network(images).argmax(1), MEASURED.labels, TARGET)


def same(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return all(torch.equal(one[name], two[name]) for name in one)

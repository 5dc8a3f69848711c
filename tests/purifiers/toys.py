"""A network with a backdoor that a purifier is to remove, and what it is measured by."""

from copy import deepcopy

from torch import nn

from backaudit.core.suspect import Suspect
from backaudit.nets.metrics import attack_success_rate
from backaudit.nets.stages import NoStages
from backaudit.nets.watching import accuracy_on
from backaudit.purifiers import Purifier
from backaudit.purifiers.interface import Measurements, Parts
from tests.conftest import ToyWorld
from tests.toy import TARGET, clean_set

PARTS = Parts(*clean_set(40).split(0.75))
TEST = clean_set(40, seed=77)


def repaired(purifier: Purifier, suspect: Suspect) -> tuple[nn.Module, Measurements]:
    network = deepcopy(suspect.network)
    return network, purifier.purify(network, PARTS, seed=0, stages=NoStages())


def accuracy(network: nn.Module) -> float:
    """On images that the purifier did not see."""
    return accuracy_on(network, TEST)


def success(network: nn.Module, world: ToyWorld) -> float:
    """Attack success rate on images that the purifier did not see."""
    triggered = world.attack.stamp(TEST.images, {}).float() / 255
    return attack_success_rate(network(triggered).argmax(1), TEST.labels, TARGET)

"""The attacks of the literature: one file per attack; for the zoo only."""

from backaudit.attacks.badnets import BadNets
from backaudit.attacks.blend import Blend
from backaudit.attacks.interface import Attack
from backaudit.attacks.wanet import WaNet

ATTACKS: dict[str, type[Attack]] = {"badnets": BadNets, "blend": Blend, "wanet": WaNet}

__all__ = ["ATTACKS", "Attack", "BadNets", "Blend", "WaNet"]

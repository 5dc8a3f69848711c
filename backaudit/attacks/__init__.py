"""The attacks of the literature: one file per attack; for the zoo only."""

from backaudit.attacks.adap_blend import AdapBlend
from backaudit.attacks.adap_patch import AdapPatch
from backaudit.attacks.adaptive import AdaptiveConfidence, AdaptiveSoftLabel
from backaudit.attacks.badnets import BadNets
from backaudit.attacks.batt import BATT
from backaudit.attacks.blend import Blend
from backaudit.attacks.bpp import Bpp
from backaudit.attacks.iad import IAD
from backaudit.attacks.interface import Attack, Learned, TrainingSet
from backaudit.attacks.issba import ISSBA
from backaudit.attacks.lc import LC
from backaudit.attacks.lf import LF
from backaudit.attacks.narcissus import Narcissus
from backaudit.attacks.physical_ba import PhysicalBA
from backaudit.attacks.sig import SIG
from backaudit.attacks.sra import SRA
from backaudit.attacks.ssdt import SSDT
from backaudit.attacks.trojan import Trojan
from backaudit.attacks.wanet import WaNet

ATTACKS: dict[str, type[Attack]] = {
    "adap-blend": AdapBlend,
    "adap-patch": AdapPatch,
    "adaptive-confidence": AdaptiveConfidence,
    "adaptive-soft-label": AdaptiveSoftLabel,
    "badnets": BadNets,
    "batt": BATT,
    "blend": Blend,
    "bpp": Bpp,
    "iad": IAD,
    "issba": ISSBA,
    "lc": LC,
    "lf": LF,
    "narcissus": Narcissus,
    "physical-ba": PhysicalBA,
    "sig": SIG,
    "sra": SRA,
    "ssdt": SSDT,
    "trojan": Trojan,
    "wanet": WaNet,
}

__all__ = [
    "ATTACKS",
    "BATT",
    "IAD",
    "ISSBA",
    "LC",
    "LF",
    "SIG",
    "SRA",
    "SSDT",
    "AdapBlend",
    "AdapPatch",
    "AdaptiveConfidence",
    "AdaptiveSoftLabel",
    "Attack",
    "BadNets",
    "Blend",
    "Bpp",
    "Learned",
    "Narcissus",
    "PhysicalBA",
    "TrainingSet",
    "Trojan",
    "WaNet",
]

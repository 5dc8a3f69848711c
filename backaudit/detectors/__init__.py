"""The detectors: one file per method."""

from backaudit.detectors.ban import BAN
from backaudit.detectors.ibd_psc import IBDPSC
from backaudit.detectors.interface import Detector
from backaudit.detectors.mm_bd import MMBD
from backaudit.detectors.targeted_noise import TargetedNoise
from backaudit.detectors.uap import UAP

DETECTORS: dict[str, type[Detector]] = {
    "ban": BAN,
    "mm-bd": MMBD,
    "targeted-noise": TargetedNoise,
    "uap": UAP,
    "ibd-psc": IBDPSC,
}

__all__ = ["BAN", "DETECTORS", "IBDPSC", "MMBD", "UAP", "Detector", "TargetedNoise"]

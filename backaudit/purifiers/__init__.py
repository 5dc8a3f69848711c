"""The purifiers: one file per method."""

from backaudit.purifiers.anp import ANP
from backaudit.purifiers.clp import CLP
from backaudit.purifiers.fp import FP
from backaudit.purifiers.ft import FT
from backaudit.purifiers.i_bau import IBAU
from backaudit.purifiers.interface import Purifier
from backaudit.purifiers.nad import NAD
from backaudit.purifiers.noise_ft import NoiseFT
from backaudit.purifiers.rnp import RNP
from backaudit.purifiers.tsbd import TSBD
from backaudit.purifiers.uap_ft import UAPFT

PURIFIERS: dict[str, type[Purifier]] = {
    purifier.rule.name: purifier
    for purifier in (
        NoiseFT,
        TSBD,
        FT,
        FP,
        NAD,
        ANP,
        CLP,
        IBAU,
        RNP,
        UAPFT,
    )
}

__all__ = [
    "ANP",
    "CLP",
    "FP",
    "FT",
    "IBAU",
    "NAD",
    "PURIFIERS",
    "RNP",
    "TSBD",
    "UAPFT",
    "NoiseFT",
    "Purifier",
]

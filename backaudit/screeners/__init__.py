"""The screeners: methods that score single images, one file or folder each."""

from backaudit.screeners.ibd_psc import IBDPSC
from backaudit.screeners.interface import Screener
from backaudit.screeners.joint import Joint
from backaudit.screeners.scale_up import ScaleUp
from backaudit.screeners.strip import STRIP
from backaudit.screeners.teco import TeCo

SCREENERS: dict[str, type[Screener]] = {
    "ibd-psc": IBDPSC,
    "strip": STRIP,
    "scale-up": ScaleUp,
    "teco": TeCo,
    "joint": Joint,
}
"""Every screener by the name that users type; a new one is one line here."""

__all__ = ["IBDPSC", "SCREENERS", "STRIP", "Joint", "ScaleUp", "Screener", "TeCo"]

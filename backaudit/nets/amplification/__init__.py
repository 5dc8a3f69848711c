"""Running a network plain and amplified to several depths, without copies of it."""

from backaudit.nets.amplification.amplifier import Amplifier, amplify
from backaudit.nets.amplification.interface import AmplifiedNetwork
from backaudit.nets.amplification.search import predictions_by_depth

__all__ = ["AmplifiedNetwork", "Amplifier", "amplify", "predictions_by_depth"]

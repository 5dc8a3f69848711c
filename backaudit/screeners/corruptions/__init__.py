"""The fifteen corruptions of ImageNet-C, each for whole batches on the device they are on."""

from backaudit.screeners.corruptions.draw import Corruption, Draw
from backaudit.screeners.corruptions.tables import CORRUPTIONS, SEVERITIES, Table, corruption

__all__ = ["CORRUPTIONS", "SEVERITIES", "Corruption", "Draw", "Table", "corruption"]

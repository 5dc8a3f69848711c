"""The families of the literature for small images, one file each."""

from backaudit.nets.architectures.candidate import Candidate
from backaudit.nets.architectures.table import ARCHITECTURES, candidates

__all__ = ["ARCHITECTURES", "Candidate", "candidates"]

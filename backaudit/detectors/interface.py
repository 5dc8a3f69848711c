"""What a detector is. A detector sees a suspect and a clean set: no attack, no trigger, no file."""

from typing import ClassVar, Protocol

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Evidence, Rule
from backaudit.core.suspect import Suspect


class Detector(Protocol):
    """A frozen dataclass whose fields are the method's hyper-parameters."""

    rule: ClassVar[Rule]

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        """Read the suspect.

        Raises:
            NotApplicableError: if the method does not fit the suspect or the clean set.
        """
        ...

"""On which terms a suspect is purified."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backaudit.core.purification import Detected
from backaudit.core.verdict import Verdict
from backaudit.detectors import DETECTORS
from backaudit.detectors.interface import Detector
from backaudit.loading.load import LoadOptions
from backaudit.purification.triggered import Triggered


def _all_detectors() -> Sequence[Detector]:
    return tuple(make() for make in DETECTORS.values())


@dataclass(frozen=True)
class PurifyTerms:
    """On which terms a suspect is purified.

    Args:
        seed: of all that is drawn; the same one gives the same network on a CPU.
        max_accuracy_drop: how many percentage points of accuracy may be lost.
        force: whether to write a worse result all the same, over an existing file too, and to
            purify a suspect in which nothing was found.
        resume: whether to go on with what an interrupted run left.
        detectors: look at the network before and after.
        triggered: images that carry the trigger, if somebody has them.
        detected: what a scan said about the suspect; None if none was made.
        scan_first: whether to scan it if nobody did, once it is sure that it can be purified.
        only_if_found: whether a suspect in which that scan found nothing is left as it is.
        first_good: whether the first purifier that is good enough is taken, and no other tried.
        clean: folder or file of the clean images, with which the result is loaded again as a user
            would; None to load it as the suspect was prepared.
        options: with which the suspect was loaded.
    """

    seed: int = 0
    max_accuracy_drop: float = 3.0
    force: bool = False
    resume: bool = False
    detectors: Sequence[Detector] = field(default_factory=_all_detectors)
    triggered: Triggered | None = None
    detected: Detected | None = None
    scan_first: bool = False
    only_if_found: bool = True
    first_good: bool = False
    clean: Path | None = None
    options: LoadOptions = field(default_factory=LoadOptions)

    @property
    def nothing_to_repair(self) -> bool:
        """Whether a scan found nothing, and only a suspect in which it did is to be repaired."""
        nothing = self.detected is not None and self.detected.verdict is Verdict.NO_EVIDENCE
        return nothing and self.only_if_found

"""All that happened when a suspect was purified."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Failed, NotApplicable, Rule, Run
from backaudit.core.measured import Measured, Share, Split
from backaudit.core.suspect import Suspect
from backaudit.core.verdict import Judgement, Verdict

WORKING_TRIGGER = 0.1
"""Of a trigger that sends surely more than this share of images to its target, it is said that it
works: a benign model sends a few there by mistake."""

FOUND = (Verdict.BACKDOORED, Verdict.SUSPICIOUS)


def within(drop: float, most: float) -> bool:
    """Whether a drop is no larger than allowed, but for rounding; both in percentage points."""
    return drop <= most + 1e-3


class Result(StrEnum):
    """What came of it. There is no "clean": detectors that are silent prove nothing."""

    PURIFIED = "purified"
    STILL_FOUND = "still-found"
    INCONCLUSIVE = "inconclusive"
    TOO_INACCURATE = "too-inaccurate"
    NOTHING_FOUND = "nothing-found"

    @property
    def exit_code(self) -> int:
        """What a process ends with: 0 no evidence left, 1 evidence or no result, 4 inconclusive."""
        codes = {Result.PURIFIED: 0, Result.NOTHING_FOUND: 0, Result.INCONCLUSIVE: 4}
        return codes.get(self, 1)


@dataclass(frozen=True)
class Candidate:
    """A network that a purifier made, as far as it was looked at to choose among several.

    Args:
        measurements: what the purifier did and chose, JSON-ready.
        validation: images to choose by that the network predicts as labelled.
        runs: of the detectors, on the images that nothing was trained on; none if there was nothing
            to choose among.
        judgement: of these runs; None without them.
        accuracy_drop: percentage points of accuracy that were lost on the images to choose by.
        keeps_accuracy: whether no more were lost than may be, or a single image.
    """

    measurements: Mapping[str, Any]
    validation: Share
    accuracy_drop: float
    keeps_accuracy: bool
    runs: tuple[Run, ...] = ()
    judgement: Judgement | None = None

    @property
    def still_found(self) -> bool:
        """Whether the detectors still find something."""
        return self.judgement is not None and self.judgement.verdict in FOUND

    @property
    def good_enough(self) -> bool:
        """Whether it keeps the accuracy, and the detectors find nothing."""
        return self.keeps_accuracy and not self.still_found


@dataclass(frozen=True)
class Tried:
    """One purifier, run once.

    Args:
        rule: which purifier.
        settings: its fields, JSON-ready.
        seconds: wall-clock time, over all sessions if it was interrupted.
        outcome: what came of it.
    """

    rule: Rule
    settings: Mapping[str, Any]
    seconds: float
    outcome: Candidate | NotApplicable | Failed


@dataclass(frozen=True)
class Detected:
    """What a scan said, of the suspect before it was purified or of the result.

    Args:
        verdict: of the scan.
        target_classes: suspected target classes.
        source: where the scan's result comes from, for the report.
    """

    verdict: Verdict
    target_classes: tuple[int, ...]
    source: str


@dataclass(frozen=True)
class Output:
    """A checkpoint that was written, or that could have been.

    Args:
        path: of the file or folder.
        sha256: of what was measured, in hexadecimal.
        written: whether it lies there.
        notes: what differs from the original besides the weights, one sentence each.
        replaced: whether something else lay there, which only ``force`` let it replace.
    """

    path: Path
    sha256: str
    written: bool
    notes: tuple[str, ...] = ()
    replaced: bool = False


@dataclass(frozen=True)
class Purification:
    """All that happened when a suspect was purified.

    Args:
        suspect: as it was.
        clean: all images that were given.
        split: the same images, divided.
        seed: of all that was drawn.
        max_accuracy_drop: how many percentage points of accuracy may be lost.
        force: whether to write a worse result all the same.
        before: the suspect, measured.
        tried: every purifier that was run, in order.
        chosen: which of them made the result; None if none was run.
        after: the result, measured as it was written.
        repaired: the result.
        output: where it was written; None if it stayed in memory.
        detected: what a scan said before; None if none was made.
        rescanned: what a scan with all images says about the result; None if none was made, because
            something was found before it.
        despite_scan: whether the scan found nothing, and only ``force`` had it purified.
        trigger: where the images with the trigger came from, and their target class, in words.
        seconds: that everything took.
    """

    suspect: Suspect
    clean: CleanSet
    split: Split
    seed: int
    max_accuracy_drop: float
    force: bool
    before: Measured
    tried: tuple[Tried, ...] = ()
    chosen: int | None = None
    after: Measured | None = None
    repaired: Suspect | None = field(default=None, repr=False)
    output: Output | None = None
    detected: Detected | None = None
    rescanned: Detected | None = None
    despite_scan: bool = False
    trigger: str = ""
    seconds: float = 0.0

    @property
    def method(self) -> Tried | None:
        """The purifier that made the result."""
        return None if self.chosen is None else self.tried[self.chosen]

    @property
    def accuracy_drop(self) -> float:
        """Percentage points of accuracy that were lost; negative if some were won."""
        if self.after is None:
            return 0.0
        return 100 * (self.before.accuracy.rate - self.after.accuracy.rate)

    @property
    def keeps_accuracy(self) -> bool:
        """Whether no more accuracy was lost than may be."""
        return within(self.accuracy_drop, self.max_accuracy_drop)

    @property
    def trigger_works(self) -> bool:
        """Whether images with the trigger still go to its target, surely more than by mistake."""
        attack = None if self.after is None else self.after.attack
        return attack is not None and attack.success.interval[0] > WORKING_TRIGGER

    @property
    def result(self) -> Result:
        """What came of it."""
        if self.after is None:
            return Result.NOTHING_FOUND
        if not self.keeps_accuracy and not self.force:
            return Result.TOO_INACCURATE
        verdict = self.after.judgement.verdict
        again = None if self.rescanned is None else self.rescanned.verdict
        if self.trigger_works or verdict in FOUND or again in FOUND:
            return Result.STILL_FOUND
        return Result.PURIFIED if verdict is Verdict.NO_EVIDENCE else Result.INCONCLUSIVE

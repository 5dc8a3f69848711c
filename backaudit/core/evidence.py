"""What a method found, or why it could not look."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rule:
    """A check with a stable identity.

    Args:
        id: ``BA0xx`` file, ``BA1xx`` model level, ``BA2xx`` input level, ``BA4xx`` purifier; never
            reused.
        name: what users type, kebab-case.
        title: one plain sentence for a reader who never read the paper.
    """

    id: str
    name: str
    title: str


@dataclass(frozen=True)
class FileFinding:
    """Something about the file itself that whoever loads it should know.

    Args:
        rule: BA0xx.
        message: one sentence: what, where (member, opcode, offset) and what it would do.
        unsafe: whether the file must not be used; ends a scan with exit code 1.
    """

    rule: Rule
    message: str
    unsafe: bool


@dataclass(frozen=True)
class Evidence:
    """One reading of one method.

    Args:
        score: higher is always more suspicious.
        threshold: the method fires at or above it; None if the method only measures.
        strong: at or above it this reading alone supports ``backdoored``; None if never.
        lean: at or above it this reading supports another one that names the same class; None if
            it must fire for that.
        target_classes: suspected target classes, most suspected first.
        provenance: how the threshold was obtained: models, false-alarm rate, interval.
        p_value: share of benign calibration models that score as high (add-one); None if unknown.
        experimental: True where no calibration covers this network; such a reading that does not
            fire is no pass.
        measurements: everything else that was measured, JSON-ready.
    """

    score: float
    threshold: float | None
    target_classes: tuple[int, ...] = ()
    strong: float | None = None
    lean: float | None = None
    provenance: str = ""
    p_value: float | None = None
    experimental: bool = False
    measurements: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fires(self) -> bool:
        """Whether the score reaches the threshold."""
        return self.threshold is not None and self.score >= self.threshold

    @property
    def decides(self) -> bool:
        """Whether not firing means something: a finite score, a threshold, calibrated for it."""
        if self.threshold is None or self.experimental:
            return False
        return math.isfinite(self.score) and math.isfinite(self.threshold)

    @property
    def leans(self) -> bool:
        """Whether this reading supports another one that names the same class."""
        return self.fires or (self.decides and self.lean is not None and self.score >= self.lean)

    @property
    def is_strong(self) -> bool:
        """Whether this reading alone supports the verdict ``backdoored``."""
        return self.fires and self.strong is not None and self.score >= self.strong


@dataclass(frozen=True)
class NotApplicable:
    """A method that does not fit this suspect or clean set, and why."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """A method that crashed, and how."""

    error: str


Outcome = Evidence | NotApplicable | Failed


@dataclass(frozen=True)
class Run:
    """One method, run once.

    Args:
        rule: which check.
        settings: the method's fields, JSON-ready.
        seed: of the run.
        seconds: wall-clock time.
        outcome: what came of it.
    """

    rule: Rule
    settings: Mapping[str, Any]
    seed: int
    seconds: float
    outcome: Outcome

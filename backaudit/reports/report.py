"""What every renderer is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from backaudit.core.verdict import Audit, Verdict
from backaudit.files.contents import Survey


@dataclass(frozen=True)
class Report:
    """An audit, and what only the caller knows about it.

    Args:
        audit: what happened.
        exit_code: what the process will exit with.
        blind_to: detector name -> what it cannot see.
    """

    audit: Audit
    exit_code: int
    blind_to: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """A file that was not loaded, because it is unsafe.

    Args:
        survey: what was found in it.
        clean: where the clean images would have come from; none was opened.
        seed: the audit would have had.
        exit_code: what the process will exit with.
    """

    survey: Survey
    clean: Path
    seed: int
    exit_code: int

    # Not "suspicious" or "backdoored": those are about a network, and nobody looked at one.
    verdict: ClassVar[Verdict] = Verdict.INCONCLUSIVE


Renderer = Callable[[Report | Refusal], str]

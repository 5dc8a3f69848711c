"""Exit codes, and which verdict gets which."""

from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backaudit.core.verdict import Verdict


class ExitCode(IntEnum):
    """What the process tells its caller."""

    NO_EVIDENCE = 0
    FOUND = 1
    USAGE = 2
    NOT_AUDITED = 3
    INCONCLUSIVE = 4
    INTERRUPTED = 130


class FailOn(StrEnum):
    """The mildest verdict that fails."""

    SUSPICIOUS = "suspicious"
    BACKDOORED = "backdoored"
    NEVER = "never"


class OnInconclusive(StrEnum):
    """What an audit that could not make a required check does to the exit code."""

    FAIL = "fail"
    WARN = "warn"
    PASS = "pass"  # noqa: S105 - a word users type, no password


# By value, so that `backaudit --help` need not import torch with the verdicts.
FAILING = {
    FailOn.SUSPICIOUS: {"suspicious", "backdoored"},
    FailOn.BACKDOORED: {"backdoored"},
    FailOn.NEVER: set(),
}


def exit_code(
    verdict: "Verdict", complete: bool, fail_on: FailOn, on_inconclusive: OnInconclusive
) -> ExitCode:
    """Weigh a verdict by what the caller wants to fail on.

    Args:
        verdict: the claim.
        complete: whether every required check was made. A verdict that ``fail_on`` tolerates is
            no pass without it: the check that is missing might have found worse.
        fail_on: the mildest verdict that fails.
        on_inconclusive: only ``fail`` gives an exit code other than 0.
    """
    if verdict.value in FAILING[fail_on]:
        return ExitCode.FOUND
    conclusive = complete and verdict.value != "inconclusive"
    if not conclusive and on_inconclusive is OnInconclusive.FAIL:
        return ExitCode.INCONCLUSIVE
    return ExitCode.NO_EVIDENCE

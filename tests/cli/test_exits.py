import pytest

from backaudit.cli.exits import ExitCode, FailOn, OnInconclusive, exit_code
from backaudit.core.verdict import Verdict

B, S, N, I = Verdict.BACKDOORED, Verdict.SUSPICIOUS, Verdict.NO_EVIDENCE, Verdict.INCONCLUSIVE  # noqa: E741


def test_the_codes_that_callers_rely_on() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "NO_EVIDENCE": 0,
        "FOUND": 1,
        "USAGE": 2,
        "NOT_AUDITED": 3,
        "INCONCLUSIVE": 4,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize(
    ("verdict", "complete", "fail_on", "on_inconclusive", "code"),
    [
        (B, True, "suspicious", "fail", 1),
        (S, True, "suspicious", "fail", 1),
        (N, True, "suspicious", "fail", 0),
        (I, False, "suspicious", "fail", 4),
        (B, True, "backdoored", "fail", 1),
        (S, True, "backdoored", "fail", 0),
        (B, True, "never", "fail", 0),
        (S, True, "never", "fail", 0),
        (I, False, "never", "fail", 4),
        (I, False, "suspicious", "warn", 0),
        (I, False, "suspicious", "pass", 0),
        (B, False, "suspicious", "pass", 1),
        (S, False, "backdoored", "fail", 4),
        (S, False, "backdoored", "warn", 0),
        (I, True, "suspicious", "fail", 4),
    ],
)
def test_every_verdict_has_its_exit_code(
    verdict: Verdict, complete: bool, fail_on: str, on_inconclusive: str, code: int
) -> None:
    given = exit_code(verdict, complete, FailOn(fail_on), OnInconclusive(on_inconclusive))
    assert given == code

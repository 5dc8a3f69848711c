import math

import pytest

from backaudit.core.evidence import Evidence, Failed, NotApplicable, Outcome
from backaudit.core.verdict import Verdict, judge
from tests.audits import BAN, MMBD, PSC, reading, run_of

QUIET = reading(0.1, 0.31, 3)
FIRES = reading(0.4, 0.31, 5, strong=0.5)
STRONG = reading(0.6, 0.31, 5, strong=0.5)
ELSEWHERE = reading(0.4, 0.31, 2)
LEANS = reading(0.25, 0.31, 5, lean=0.2)
LEANS_ELSEWHERE = reading(0.25, 0.31, 2, lean=0.2)
UNKNOWN_CLASS = reading(0.4, 0.31)
UNCALIBRATED = reading(0.1, 0.31, experimental=True)
UNCALIBRATED_FIRES = reading(0.4, 0.31, 5, experimental=True)
MISFIT = NotApplicable("no layer")
CRASH = Failed("RuntimeError: boom")


@pytest.mark.parametrize(
    ("ban", "mm_bd", "verdict"),
    [
        (QUIET, QUIET, Verdict.NO_EVIDENCE),
        (FIRES, QUIET, Verdict.SUSPICIOUS),
        (QUIET, FIRES, Verdict.SUSPICIOUS),
        (FIRES, FIRES, Verdict.BACKDOORED),
        (FIRES, ELSEWHERE, Verdict.SUSPICIOUS),
        (FIRES, UNKNOWN_CLASS, Verdict.SUSPICIOUS),
        (STRONG, QUIET, Verdict.BACKDOORED),
        (STRONG, ELSEWHERE, Verdict.BACKDOORED),
        (STRONG, CRASH, Verdict.BACKDOORED),
        (FIRES, CRASH, Verdict.SUSPICIOUS),
        (FIRES, MISFIT, Verdict.SUSPICIOUS),
        (QUIET, CRASH, Verdict.INCONCLUSIVE),
        (QUIET, MISFIT, Verdict.INCONCLUSIVE),
        (MISFIT, MISFIT, Verdict.INCONCLUSIVE),
        (QUIET, UNCALIBRATED, Verdict.INCONCLUSIVE),
        (QUIET, UNCALIBRATED_FIRES, Verdict.SUSPICIOUS),
        (FIRES, LEANS, Verdict.BACKDOORED),
        (FIRES, LEANS_ELSEWHERE, Verdict.SUSPICIOUS),
        (LEANS, LEANS, Verdict.SUSPICIOUS),
        (LEANS, LEANS_ELSEWHERE, Verdict.NO_EVIDENCE),
        (LEANS, QUIET, Verdict.NO_EVIDENCE),
        (LEANS, CRASH, Verdict.INCONCLUSIVE),
    ],
)
def test_the_verdict_weighs_both_model_level_runs(
    ban: Outcome, mm_bd: Outcome, verdict: Verdict
) -> None:
    runs = [run_of(BAN, ban), run_of(MMBD, mm_bd)]
    assert judge(runs).verdict is verdict
    assert judge(runs[::-1]).verdict is verdict


def test_only_readings_that_speak_for_a_backdoor_are_witnesses() -> None:
    judged = judge([run_of(BAN, FIRES), run_of(MMBD, LEANS_ELSEWHERE)])
    assert (judged.witnesses, judged.target_classes) == (("ban",), (5,))


def test_no_run_is_no_pass() -> None:
    assert judge([]).verdict is Verdict.INCONCLUSIVE


def test_an_input_level_run_alone_is_no_pass() -> None:
    assert judge([run_of(PSC, reading(0.1, None))]).verdict is Verdict.INCONCLUSIVE


def test_an_input_level_run_that_did_not_apply_is_named_but_takes_no_pass_away() -> None:
    judged = judge([run_of(BAN, QUIET), run_of(MMBD, QUIET), run_of(PSC, MISFIT)])
    assert judged.verdict is Verdict.NO_EVIDENCE
    assert judged.not_checked == ("ibd-psc did not apply: no layer",)


def test_a_score_at_the_threshold_fires() -> None:
    assert judge([run_of(BAN, reading(0.31, 0.31, 5))]).verdict is Verdict.SUSPICIOUS


def test_the_class_that_most_runs_name_comes_first() -> None:
    runs = [run_of(BAN, reading(0.4, 0.31, 2, 5)), run_of(MMBD, FIRES)]
    judged = judge(runs)
    assert judged.target_classes == (5, 2)


def test_classes_of_quiet_runs_are_not_suspected() -> None:
    assert judge([run_of(BAN, FIRES), run_of(MMBD, QUIET)]).target_classes == (5,)


def test_what_could_not_be_checked_is_said_also_beside_a_finding() -> None:
    judged = judge([run_of(BAN, STRONG), run_of(MMBD, CRASH)])
    assert judged.not_checked == ("mm-bd crashed: RuntimeError: boom",)
    assert any("ban scores 0.60" in reason for reason in judged.reasons)


@pytest.mark.parametrize(
    "worthless",
    [reading(math.nan, 0.31), reading(0.1, math.nan), reading(-math.inf, 0.31), reading(0.1, None)],
    ids=["no score", "no usable threshold", "no finite score", "only measured"],
)
def test_a_reading_that_decides_nothing_is_no_pass(worthless: Evidence) -> None:
    judged = judge([run_of(BAN, QUIET), run_of(MMBD, worthless)])
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.not_checked


def test_one_run_that_names_a_class_twice_does_not_agree_with_itself() -> None:
    twice = reading(0.4, 0.31, 5, 5)
    assert judge([run_of(BAN, twice), run_of(MMBD, ELSEWHERE)]).verdict is Verdict.SUSPICIOUS

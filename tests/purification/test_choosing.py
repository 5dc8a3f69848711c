import math

from backaudit.core.evidence import Failed, NotApplicable
from backaudit.core.purification import Candidate
from backaudit.purification.choosing import AUTOMATIC, best_of, evidence
from backaudit.purifiers import PURIFIERS
from backaudit.purifiers.in_turn import JOINED
from tests.audits import BAN, MMBD, calibrated, reading, run_of
from tests.purifications import FOUND, SILENT, candidate, tried


def best(*outcomes: Candidate | NotApplicable | Failed) -> int | None:
    return best_of([tried(outcome) for outcome in outcomes])


def faint(score: float, **more: float) -> Candidate:
    runs = (run_of(BAN, reading(score, 0.31, 3)), run_of(MMBD, reading(0.4, 4.0, 3)))
    return candidate(runs=runs, **more)


def test_the_evidence_is_the_strongest_reading_in_units_of_its_threshold() -> None:
    runs = (run_of(BAN, reading(0.155, 0.31)), run_of(MMBD, reading(3.0, 4.0)), calibrated())
    assert evidence(runs) == 0.75


def test_what_nobody_could_look_at_is_no_faint_evidence() -> None:
    assert evidence([run_of(BAN, NotApplicable("no"))]) == math.inf
    assert evidence([run_of(BAN, reading(0.1, None))]) == math.inf
    assert evidence([run_of(BAN, reading(math.nan, 0.31))]) == math.inf
    blind = candidate(runs=(run_of(BAN, NotApplicable("no")),))
    assert best(blind, faint(0.2)) == 1


def test_of_good_ones_the_one_with_the_faintest_evidence_is_taken() -> None:
    assert best(faint(0.2), faint(0.05), faint(0.15)) == 1


def test_a_tie_goes_to_the_more_accurate_and_then_to_the_first() -> None:
    assert best(faint(0.15, rate=0.9), faint(0.151, rate=1.0)) == 1
    assert best(faint(0.15), faint(0.151)) == 0


def test_one_that_is_still_found_or_too_inaccurate_is_not_taken_before_a_good_one() -> None:
    good = faint(0.3, rate=0.8)
    assert best(candidate(runs=FOUND), faint(0.01, drop=8.0), good) == 2


def test_if_none_is_good_the_accuracy_is_kept() -> None:
    assert best(faint(0.01, drop=80.0), candidate(runs=FOUND)) == 1


def test_what_made_no_network_is_never_taken() -> None:
    assert best(NotApplicable("no"), Failed("boom")) is None
    assert best(NotApplicable("no"), candidate(runs=SILENT), Failed("boom")) == 1


def test_auto_tries_purifiers_that_can_be_named_each_once() -> None:
    names = [purifier.rule.name for purifier in AUTOMATIC]
    assert len(set(names)) == len(names)
    assert {step for name in names for step in name.split(JOINED)} <= PURIFIERS.keys()

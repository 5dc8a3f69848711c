import math

import pytest

from backaudit.bench.detection.figures import area, f1, is_read, is_right, names_target, ranked
from backaudit.bench.tables.figures import auroc_interval
from tests.bench.made import ATTACKED, BENIGN, result

UNREAD = result("u", None, "wanet")


def test_a_model_that_was_not_read_is_no_benign_model_that_was_passed() -> None:
    assert is_right(result("m", 0.1))
    assert not is_right(result("m", None))
    assert not is_right(result("m", 0.1, decides=False))
    assert not is_right(UNREAD)
    assert is_read(result("m", 0.9, decides=False))


def test_the_right_target_is_the_class_suspected_first() -> None:
    assert names_target(result("m", 0.9, "badnets"))
    assert not names_target(result("m", 0.9, "badnets", target_classes=[1, 3]))
    assert not names_target(UNREAD)


def test_area_by_hand() -> None:
    # Of the 16 pairs, 0.9 and 0.7 win 4 each, 0.55 wins 3 and 0.3 wins 2.
    found = area([*BENIGN, *ATTACKED])
    assert found.value == pytest.approx(13 / 16)
    assert (found.benign, found.backdoored) == (4, 4)
    assert found.interval == auroc_interval(13 / 16, 4, 4)


def test_a_result_without_a_score_ranks_last() -> None:
    assert ranked([BENIGN[0], UNREAD]) == [0.1, -math.inf]
    assert area([BENIGN[0], UNREAD]).value == 0
    assert area([result("b", None), UNREAD]).value == 0.5


def test_an_area_needs_both_kinds() -> None:
    assert math.isnan(area(BENIGN).value)
    assert area(BENIGN).record()["interval"] is None


def test_f1_by_hand() -> None:
    # Calls: b3 wrongly, a1, a2 and a4 rightly; a3 is missed.
    assert f1([*BENIGN, *ATTACKED]) == pytest.approx(2 * 3 / (4 + 4))
    assert math.isnan(f1(BENIGN[:2]))

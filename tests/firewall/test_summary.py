import pytest

from backaudit.core.rates import wilson
from backaudit.core.screening import Calibration
from backaudit.firewall.chances import excess_chance
from backaudit.firewall.flags import ClassFlags
from backaudit.firewall.screen import ImageResult
from backaudit.firewall.summary import NAMED, Summary
from tests.firewall.toys import calibration

CLEAN = tuple(index / 100 for index in range(100))


def result(predicted: int, *flagged_by: str) -> ImageResult:
    return ImageResult("path", 0.5, bool(flagged_by), predicted, 0.1, {}, flagged_by)


def counted(summary: Summary, flagged: int, images: int, *methods: str) -> Summary:
    for index in range(images):
        summary.add(result(1, *(methods if index < flagged else ())))
    return summary


def own_threshold(method: str = "bright", threshold: float = 0.965) -> Calibration:
    return calibration(threshold, scores=CLEAN, predicted=(0, 1) * 50, method=method)


def test_the_own_threshold_is_tested_against_clean_images_of_the_same_predicted_class() -> None:
    test = counted(Summary([own_threshold()]), 12, 300, "bright").test()
    assert (test.images, test.flagged) == (300, 12)
    # The scores 0.97, 0.98 and 0.99 are above 0.965; two of them are of the 50 of class 1.
    assert test.rate == pytest.approx(0.03)
    assert test.interval == wilson(0.03, 100)
    assert test.expected == pytest.approx(300 * 2 / 50)
    assert test.p_value == excess_chance([ClassFlags(1, 300, 12, 50, 2)])
    assert test.basis == "measured on 100 held-out images"


def test_a_conformal_threshold_keeps_its_promise_and_is_tested_by_class() -> None:
    made = calibration(0.95, 0.05, CLEAN, (0, 1) * 50)
    test = counted(Summary([made]), 20, 300, "bright").test()
    # The 96th of 100 scores: 5 of 101 places lie above it, and 4 scores.
    assert test.rate == pytest.approx(5 / 101)
    assert test.interval[0] < 5 / 101 < test.interval[1]
    assert test.basis == "at most, by conformal prediction from 100 held-out images"
    # Of class 1 are 0.97, 0.99 and the threshold itself, above which lies the fifth place.
    assert test.expected == pytest.approx(300 * 3 / 50)
    assert test.p_value == excess_chance([ClassFlags(1, 300, 20, 50, 2)])


def test_images_tied_with_a_conformal_threshold_count_as_if_they_could_be_flagged() -> None:
    scores = (*CLEAN[:90], *(0.95,) * 8, 0.98, 0.99)
    made = calibration(0.95, 0.05, scores, (1,) * 100)
    test = counted(Summary([made]), 20, 300, "bright").test()
    assert test.expected == pytest.approx(300 * 2 / 100)
    assert test.p_value == excess_chance([ClassFlags(1, 300, 20, 100, 2)], tied=2)
    assert test.p_value > excess_chance([ClassFlags(1, 300, 20, 100, 2)])


def test_traffic_of_one_class_is_no_excess_where_clean_images_of_it_are_flagged_as_often() -> None:
    # Class 1 holds all held-out images that are flagged: 3 of 10.
    made = calibration(0.965, scores=CLEAN, predicted=(0,) * 90 + (1,) * 10)
    summary = counted(Summary([made]), 90, 300, "bright")
    assert summary.test().expected == pytest.approx(90)
    assert summary.test().p_value > 0.3
    assert summary.test().mix_p_value < 1e-6


def test_a_class_without_held_out_images_is_neither_an_excess_nor_hides_one() -> None:
    known = counted(Summary([own_threshold()]), 12, 300, "bright")
    assert (known.test().untested_images, known.test().untested_flagged) == (0, 0)
    for flagged in (0, 40):
        summary = counted(Summary([own_threshold()]), 12, 300, "bright")
        for index in range(50):
            summary.add(result(7, *(["bright"] if index < flagged else [])))
        test = summary.test()
        assert (test.images, test.flagged) == (350, 12 + flagged)
        assert (test.untested_images, test.untested_flagged) == (50, flagged)
        assert test.expected == known.test().expected
        assert test.p_value == known.test().p_value
        assert test.mix_p_value != known.test().mix_p_value


def test_for_the_calibrations_mix_all_classes_are_one() -> None:
    own = counted(Summary([own_threshold()]), 12, 300, "bright").test()
    assert own.mix_p_value == excess_chance([ClassFlags(0, 300, 12, 100, 3)])
    made = calibration(0.95, 0.05, CLEAN, (0, 1) * 50)
    promised = counted(Summary([made]), 20, 300, "bright").test()
    assert promised.mix_p_value == excess_chance([ClassFlags(0, 300, 20, 100, 4)])
    # Two of the eight at the threshold would be above it without ties.
    scores = (*CLEAN[:90], *(0.95,) * 8, 0.98, 0.99)
    tied = counted(Summary([calibration(0.95, 0.05, scores, (1,) * 100)]), 20, 300, "bright").test()
    assert tied.mix_p_value == excess_chance([ClassFlags(0, 300, 20, 100, 4)])


def test_of_several_screeners_each_is_tested_and_all_together_are_corrected() -> None:
    summary = Summary([own_threshold(), own_threshold("dark", 0.985)])
    for _ in range(5):
        summary.add(result(0, "bright", "dark"))
    for _ in range(5):
        summary.add(result(0, "bright"))
    for _ in range(90):
        summary.add(result(0))
    tests = summary.tests()
    assert {name: test.flagged for name, test in tests.items()} == {"bright": 10, "dark": 5}
    assert summary.test().flagged == 10
    assert summary.test().rate == pytest.approx(0.03)
    # One of the three that any screener flags is of the 50 of class 0.
    assert summary.test().expected == pytest.approx(100 / 50)
    lowest = min(test.p_value for test in tests.values())
    assert summary.test().p_value == pytest.approx(2 * lowest)
    lowest = min(test.mix_p_value for test in tests.values())
    assert summary.test().mix_p_value == pytest.approx(2 * lowest)


def test_without_an_image_nothing_is_found() -> None:
    test = Summary([own_threshold()]).test()
    assert (test.images, test.flagged, test.expected) == (0, 0, 0)
    assert test.p_value == pytest.approx(1)
    assert test.mix_p_value == pytest.approx(1)


def test_flags_are_counted_for_each_predicted_class() -> None:
    made = calibration(0.9, scores=(0.1, 0.95, 0.95, 0.2), predicted=(0, 1, 1, 4))
    summary = Summary([made])
    for predicted, flagged in ((1, True), (1, False), (3, True), (0, False)):
        summary.add(result(predicted, *(["bright"] if flagged else [])))
    assert summary.per_class() == (
        ClassFlags(0, 1, 0, 1, 0),
        ClassFlags(1, 2, 1, 2, 2),
        ClassFlags(3, 1, 1, 0, 0),
    )


def test_unreadable_inputs_are_counted_and_the_first_named() -> None:
    summary = Summary([own_threshold()])
    for index in range(NAMED + 50):
        summary.add_unreadable(f"{index}.png", "broken")
    assert summary.unreadable == NAMED + 50
    assert len(summary.unreadable_named) == NAMED
    assert summary.unreadable_named[0] == ("0.png", "broken")

import pytest

from backaudit.core.rates import wilson
from backaudit.core.screening import Calibration
from backaudit.firewall.chances import beta_binomial_tail, hypergeometric_tail
from backaudit.firewall.screen import ImageResult
from backaudit.firewall.summary import NAMED, ClassFlags, Summary
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


def test_the_own_threshold_is_tested_against_the_measured_rate() -> None:
    test = counted(Summary([own_threshold()]), 12, 300, "bright").test()
    assert (test.images, test.flagged) == (300, 12)
    # The scores 0.97, 0.98 and 0.99 are above 0.965.
    assert test.rate == pytest.approx(0.03)
    assert test.expected == pytest.approx(9)
    assert test.interval == wilson(0.03, 100)
    assert test.p_value == hypergeometric_tail(12, 300, 3, 100)
    assert test.basis == "measured on 100 held-out images"


def test_a_conformal_threshold_is_tested_against_the_law_it_follows() -> None:
    made = calibration(0.94, 0.05, CLEAN, (0,) * 100)
    test = counted(Summary([made]), 20, 300, "bright").test()
    # The 96th of 100 scores: 5 of 101 places lie above it.
    assert test.rate == pytest.approx(5 / 101)
    assert test.expected == pytest.approx(300 * 5 / 101)
    assert test.p_value == beta_binomial_tail(20, 300, 5, 100)
    assert test.interval[0] < 5 / 101 < test.interval[1]


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
    lowest = min(test.p_value for test in tests.values())
    assert summary.test().p_value == pytest.approx(2 * lowest)


def test_without_an_image_nothing_is_found() -> None:
    test = Summary([own_threshold()]).test()
    assert (test.images, test.flagged, test.expected) == (0, 0, 0)
    assert test.p_value == pytest.approx(1)


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

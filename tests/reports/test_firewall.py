from backaudit.reports.firewall import describe
from tests.audits import CALIBRATION


def test_the_calibration_is_told_in_sentences() -> None:
    how, rate, limits, note = describe({"calibration": CALIBRATION, "notes": ["few\x1b images"]})
    assert how.startswith("Checks single images by amplifying the last 4 to 8 of 13")
    assert rate == (
        "Threshold 0.90 flags 3.2% of 250 other clean images by mistake (95% interval 1.6 to 6.2%)."
    )
    assert limits == "Thresholds: 0.964 for at most 1%, 0.871 for at most 5%."
    assert note == "few\\x1b images"


def test_a_network_that_does_not_break_is_not_said_to() -> None:
    lines = describe({"calibration": CALIBRATION | {"breaks": False}, "notes": ["weak"]})
    assert not any("amplifying" in line for line in lines)
    assert "weak" in lines


def test_what_was_not_measured_is_left_out() -> None:
    assert describe({}) == []
    few = describe({"calibration": {**CALIBRATION, "threshold_at_1_percent": None}})
    assert few[-1] == "Thresholds: 0.871 for at most 5%."


def test_a_threshold_that_flags_nothing_is_not_sold_as_one() -> None:
    limits = describe({"calibration": {**CALIBRATION, "threshold_at_1_percent": 1.0}})[-1]
    assert limits.startswith("Thresholds: 0.871 for at most 5%. No threshold keeps mistakes to 1%")
    near = {**CALIBRATION, "threshold_at_1_percent": 0.9999999, "threshold_at_5_percent": None}
    assert describe({"calibration": near})[-1] == "Thresholds: 0.9999999 for at most 1%."
    both = {"threshold_at_1_percent": 1.0, "threshold_at_5_percent": 1.0}
    limits = describe({"calibration": {**CALIBRATION, **both}})[-1]
    assert limits.startswith("No threshold keeps mistakes to 1% or 5%:")

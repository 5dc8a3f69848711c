from typing import Any

import pytest

from backaudit.core.evidence import Evidence
from backaudit.core.verdict import MODEL_LEVEL
from backaudit.detectors import DETECTORS, calibration
from backaudit.nets.noise import RENORMALISED
from tests.audits import BAN

MODEL_DETECTORS = [name for name, d in DETECTORS.items() if d.rule.id.startswith(MODEL_LEVEL)]


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    record = {
        "lean": 0.3,
        "threshold": 0.4,
        "strong": 0.6,
        "benign_scores": [0.1, 0.2, 0.3, 0.4],
        "provenance": "four benign models",
    }
    monkeypatch.setattr(calibration, "load_calibration", lambda: {"ban": record})
    return record


def held(score: float, *, unlike: str = "") -> Evidence:
    return calibration.calibrated(
        BAN, score, target_classes=(3,), unlike=unlike, measurements={"a": 1}
    )


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(
    ("score", "as_high"), [(0.05, 4), (0.1, 4), (0.25, 2), (0.4, 1), (0.5, 0), (float("nan"), 4)]
)
def test_the_p_value_counts_benign_models_that_score_as_high(score: float, as_high: int) -> None:
    assert held(score).p_value == pytest.approx((as_high + 1) / 5)


@pytest.mark.usefixtures("shipped")
def test_a_reading_is_held_against_what_was_shipped() -> None:
    reading = held(0.5)
    assert (reading.threshold, reading.strong) == (0.4, 0.6)
    assert reading.provenance == "four benign models"
    assert (reading.target_classes, reading.measurements) == ((3,), {"a": 1})
    assert (reading.fires, reading.is_strong, held(0.6).is_strong) == (True, False, True)
    assert (held(0.29).leans, held(0.3).leans, held(0.3).fires) == (False, True, False)


@pytest.mark.usefixtures("shipped")
def test_an_experimental_reading_is_held_against_nothing() -> None:
    reading = held(0.9, unlike="no benign model has wings")
    assert (reading.threshold, reading.strong, reading.p_value) == (None, None, None)
    assert (reading.fires, reading.decides, reading.experimental) == (False, False, True)
    assert reading.provenance == "none, no benign model has wings."


def test_a_rule_may_have_several_calibrations(
    shipped: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"ban": shipped, "ban:folded": shipped | {"threshold": 0.2}}
    monkeypatch.setattr(calibration, "load_calibration", lambda: both | {"bandage": {}})
    readings = [
        calibration.calibrated(BAN, 0.3, target_classes=(), variant=variant, measurements={})
        for variant in ("", "folded")
    ]
    assert [reading.fires for reading in readings] == [False, True]
    assert calibration.calibrations_of("ban") == both


@pytest.mark.parametrize("name", calibration.load_calibration())
def test_limits_rise_and_lie_above_those_of_benign_models(name: str) -> None:
    shipped = calibration.load_calibration()[name]
    assert shipped["lean"] <= shipped["threshold"] <= shipped["strong"]
    assert max(shipped["benign_scores"]) < shipped["threshold"]
    assert shipped["provenance"]
    assert all(isinstance(score, float) for score in shipped["benign_scores"])


def test_every_detector_has_its_calibrations_and_each_of_them_a_detector() -> None:
    noisy = {calibration.calibration_name(name, RENORMALISED) for name in ("ban", "targeted-noise")}
    assert set(calibration.load_calibration()) == set(MODEL_DETECTORS) | noisy

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from backaudit.bench.detection import calibration
from backaudit.bench.detection.calibration import benign_scores, limits, thresholds
from backaudit.core.errors import SettingError
from backaudit.detectors.ban import BAN
from backaudit.detectors.mm_bd import MMBD
from tests.bench.zoos import badnets, put, recipe, toy_data
from tests.toy import clean_set, suspect_of, toy_network

ROOT = Path(__file__).parents[3]
SCORES = [0.1, 0.2, 0.3, 0.4, 0.5]


def records(scores: list[float]) -> list[dict[str, Any]]:
    return [{"scores": {"ban": score}} for score in scores]


def test_limits_by_hand() -> None:
    mean, deviation = 0.3, statistics.stdev(SCORES)
    chosen = limits(SCORES)
    assert chosen["lean"] == pytest.approx(mean + 2 * deviation, abs=1e-3)
    assert chosen["threshold"] == pytest.approx(mean + 4 * deviation, abs=1e-3)
    assert chosen["strong"] == pytest.approx(mean + 6 * deviation, abs=1e-3)


def test_limits_stay_above_the_highest_benign_score() -> None:
    scores = [0.0] * 99 + [1.0]
    assert limits(scores)["threshold"] == pytest.approx(1.05)
    assert limits(scores)["strong"] == pytest.approx(1.5)


def test_false_alarms_are_counted_leaving_one_out() -> None:
    alike = thresholds(records(SCORES))["ban"]
    assert "leaving one out, 0 of them" in alike["provenance"]
    outlier = thresholds(records([*SCORES, 5.0]))["ban"]
    assert "leaving one out, 1 of them" in outlier["provenance"]
    assert outlier["threshold"] > 5.0


def test_too_few_benign_models_are_refused() -> None:
    assert thresholds(records(SCORES[:3]))
    with pytest.raises(SettingError, match="3 benign models or more, of which there are 2"):
        thresholds(records(SCORES[:2]))


def test_the_shipped_calibration_follows_from_the_models_it_names() -> None:
    shipped = json.loads((ROOT / "backaudit/detectors/calibration.json").read_text())
    models = json.loads((ROOT / "benchmarks/benign-models.json").read_text())
    assert all(model["recipe"]["attack"] is None for model in models)
    assert thresholds(models) == shipped


@pytest.mark.parametrize(
    ("norm", "names"),
    [
        (nn.BatchNorm2d, {"ban", "ban:renormalised", "mm-bd"}),
        (lambda _: nn.Identity(), {"ban:renormalised", "mm-bd"}),
    ],
)
def test_noise_is_calibrated_with_batch_norm_and_without(
    norm: Callable[[int], nn.Module],
    names: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed = (suspect_of(toy_network(norm=norm, bias=True)), clean_set())
    monkeypatch.setattr(calibration, "hand_over", lambda *_: handed)
    put(tmp_path, recipe("benign-1"))
    put(tmp_path, badnets("badnets-2"), 0.99)
    quick = BAN(restarts=1, budgets=(0.1,), steps=1, mask_steps=1)
    (record,) = benign_scores(tmp_path, {"toy": toy_data()}, (quick, MMBD(steps=1)))
    assert record["recipe"]["name"] == "benign-1"
    assert record["scores"].keys() == names

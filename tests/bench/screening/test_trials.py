from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.screening.figures import measured, seen
from backaudit.bench.screening.trials import Plan, find_results, screen_subject
from backaudit.bench.trials import trial
from backaudit.bench.trials.auditor import CleanSample
from backaudit.bench.trials.results import Record, read_results
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError, SettingError
from backaudit.core.suspect import Suspect
from backaudit.firewall.calibration import calibrate
from backaudit.firewall.screener import FittedScreener
from backaudit.loading.load import LoadOptions
from backaudit.screeners import IBDPSC, ScaleUp
from backaudit.screeners.interface import Fit
from tests.bench.conftest import Handed
from tests.bench.zoos import subject
from tests.conftest import ToyWorld
from tests.toy import TARGET

PLAN = Plan((ScaleUp(),), CleanSample(60), test_images=30)
Run = Callable[..., list[Record]]


@dataclass(frozen=True)
class DoesNotFit(ScaleUp):
    """Has no use for the suspect."""

    def fit(self, suspect: Suspect, clean: CleanSet) -> Fit:
        raise NotApplicableError("no such layer.")


@dataclass(frozen=True)
class Crashes(ScaleUp):
    """Has a bug."""

    def fit(self, suspect: Suspect, clean: CleanSet) -> Fit:
        raise RuntimeError("boom")


@pytest.fixture
def run(handed: Handed, data: Dataset, tmp_path: Path) -> Run:
    def made(plan: Plan = PLAN, **more: Any) -> list[Record]:
        made_of = subject(data, plan.sample, **more)
        return list(screen_subject(made_of, data, plan, tmp_path, LoadOptions()))

    return made


def test_a_result_holds_every_image_and_apart_from_it_the_truth(run: Run) -> None:
    (result,) = run()
    assert (result["model"], result["method"], result["seed"]) == ("one-7", "scale-up", 0)
    clean, triggered = seen(result, "clean"), seen(result, "triggered")
    assert clean is not None
    assert triggered is not None
    assert (len(clean), len(triggered)) == (30, 30)
    assert set(triggered.wanted.tolist()) == {TARGET}
    assert len(triggered.as_wanted()) >= 27
    assert len(clean.as_wanted()) >= 27
    assert measured(result) is not None
    assert result["truth"]["attack"] == "badnets"
    assert "badnets" not in str({**result, "truth": None})
    assert result["identity"]["settings"]["screener"] == {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(ScaleUp()).items()
    }


def test_scores_and_flags_are_those_that_a_user_gets(
    run: Run, handed: Handed, toy_world: ToyWorld, data: Dataset
) -> None:
    (result,) = run()
    ((_, given, _),) = handed
    assert given.labels is not None
    clean = replace(toy_world.clean, images=given.images, labels=given.labels)
    calibration = calibrate(ScaleUp(), toy_world.backdoored, clean)
    shown = PLAN.traffic(subject(data, PLAN.sample), data).clean.images
    screened = FittedScreener.of(toy_world.backdoored, calibration)(shown)
    found = seen(result, "clean")
    assert found is not None
    assert found.scores.tolist() == pytest.approx(screened.scores.tolist())
    assert found.flagged.tolist() == screened.flagged.tolist()
    assert result["outcome"]["threshold"] == calibration.threshold
    assert result["outcome"]["false_flags"]["flagged"] == int(screened.flagged.sum())


def test_a_benign_model_is_shown_clean_images_alone(run: Run) -> None:
    (result,) = run(backdoored=False)
    assert result["outcome"]["triggered"] is None
    assert result["outcome"]["false_flags"]["images"] == 30


def test_costs_are_measured_beside_the_plain_network(run: Run) -> None:
    (result,) = run()
    costs = result["outcome"]["costs"]
    assert [cost["batch"] for cost in costs] == [1, 128]
    for cost in costs:
        assert cost["passes"] == pytest.approx(cost["screened"] / cost["plain"])
        assert cost["screened"] > 0


def test_what_is_there_is_not_computed_again(
    run: Run, handed: Handed, data: Dataset, tmp_path: Path
) -> None:
    first = run()
    assert run() == first
    assert len(handed) == 1
    assert find_results(subject(data, PLAN.sample), data, PLAN, tmp_path) == first


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, screeners=(ScaleUp(scales=(3.0, 5.0)),)),
        replace(PLAN, test_images=29),
        replace(PLAN, false_flag_rate=0.1),
    ],
)
def test_results_of_another_plan_are_kept_beside(
    run: Run, data: Dataset, tmp_path: Path, other: Plan
) -> None:
    run()
    assert find_results(subject(data, other.sample), data, other, tmp_path) == [None]
    run(other)
    assert len(list(read_results(tmp_path))) == 2


def test_a_false_flag_rate_reaches_the_calibration(run: Run) -> None:
    (result,) = run(replace(PLAN, false_flag_rate=0.1))
    outcome = result["outcome"]
    assert (outcome["threshold_source"], outcome["false_flag_rate"]) == ("false-flag-rate", 0.1)
    assert "conformal" in outcome["false_flags"]["basis"]


def test_a_rate_that_takes_more_images_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="held-out"):
        run(replace(PLAN, false_flag_rate=0.001))
    assert list(read_results(tmp_path)) == []


def test_several_screeners_share_the_loading(run: Run, handed: Handed) -> None:
    results = run(replace(PLAN, screeners=(IBDPSC(), ScaleUp())))
    assert [result["method"] for result in results] == ["ibd-psc", "scale-up"]
    assert len(handed) == 1


def test_a_screener_that_does_not_fit_says_why(run: Run) -> None:
    (result,) = run(replace(PLAN, screeners=(DoesNotFit(),)))
    assert result["outcome"] == {"kind": "not-applicable", "reason": "no such layer."}
    assert measured(result) is None


def test_a_crash_is_a_result_that_is_tried_again(run: Run, handed: Handed) -> None:
    for _ in range(2):
        (result,) = run(replace(PLAN, screeners=(Crashes(),)))
        assert result["outcome"] == {"kind": "failed", "error": "RuntimeError: boom"}
    assert len(handed) == 2


def test_images_are_brought_to_the_size_of_the_network(
    run: Run, toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[torch.Size] = []

    class Looks(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            sizes.append(images.shape[1:])
            logits: torch.Tensor = toy_world.backdoored.network(images)
            return logits

    network = Looks()
    network.inside = toy_world.backdoored.network
    suspect = replace(toy_world.backdoored, network=network.eval(), image_shape=(3, 16, 16))
    images = torch.nn.functional.interpolate(toy_world.clean.images.float(), (16, 16))
    clean = replace(toy_world.clean, images=images.to(torch.uint8))
    monkeypatch.setattr(trial, "hand_over", lambda *_: (suspect, clean))
    (result,) = run()
    assert result["outcome"]["kind"] == "screened"
    assert set(sizes) == {torch.Size([3, 16, 16])}

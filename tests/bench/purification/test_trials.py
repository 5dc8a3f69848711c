from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.purification.figures import measured
from backaudit.bench.purification.measuring import answers
from backaudit.bench.purification.methods import Single
from backaudit.bench.purification.trials import Plan, find_results, purify_subject
from backaudit.bench.trials.auditor import CleanSample
from backaudit.bench.trials.results import Record, read_results
from backaudit.loading.load import LoadOptions
from backaudit.nets.guard import untouched
from backaudit.nets.stages import Stages
from backaudit.purifiers.interface import Measurements, Parts
from tests.bench.conftest import Handed
from tests.bench.zoos import badnets, rows, subject
from tests.conftest import ToyWorld
from tests.purifications import Diverges, Falls, FitsNothing, Repairs, Wrecks
from tests.toy import TARGET

PLAN = Plan((Single(Repairs()),), CleanSample(60), test_images=120)
Run = Callable[..., list[Record]]


@dataclass(frozen=True)
class Looks(Repairs):
    """Remembers what it is shown."""

    seen: ClassVar[list[Tensor]] = []

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        self.seen.extend([parts.fit.images, parts.validation.images])
        return {"seed": seed}


@pytest.fixture
def run(handed: Handed, data: Dataset, tmp_path: Path) -> Run:
    def made(plan: Plan = PLAN, **more: Any) -> list[Record]:
        made_of = subject(data, plan.sample, **more)
        return list(purify_subject(made_of, data, plan, tmp_path, LoadOptions()))

    return made


def test_a_backdoor_that_is_wiped_out_with_everything_else_by_hand(
    run: Run, toy_world: ToyWorld, data: Dataset
) -> None:
    with untouched(toy_world.backdoored.network):
        (result,) = run(replace(PLAN, methods=(Single(Wrecks()),)))
    outcome = result["outcome"]
    shown = PLAN.traffic(subject(data, PLAN.sample), data).clean
    # A network of zeros takes everything for the first class.
    share = float((shown.labels == 0).double().mean())
    before = outcome["before"]
    assert before["attack_success_rate"] > 0.9
    assert before["accuracy"] > 0.9
    assert outcome["after"]["accuracy"] == pytest.approx(share)
    assert outcome["after"]["attack_success_rate"] == 0
    assert outcome["der"] == pytest.approx(
        (before["attack_success_rate"] - (before["accuracy"] - share) + 1) / 2
    )
    assert (outcome["lost"] - outcome["won"]) / 120 == pytest.approx(before["accuracy"] - share)
    assert measured(result) is not None


def test_rates_are_those_of_the_network_on_the_test_images(
    run: Run, toy_world: ToyWorld, data: Dataset
) -> None:
    (result,) = run()
    traffic = PLAN.traffic(subject(data, PLAN.sample), data)
    assert traffic.triggered is not None
    predicted = toy_world.backdoored.logits(traffic.triggered.images).argmax(1)
    assert TARGET not in traffic.triggered.labels.tolist()
    before = result["outcome"]["before"]
    assert before["attack_success_rate"] == float((predicted == TARGET).double().mean())
    right = (predicted == traffic.triggered.labels).double().mean()
    assert before["robust_accuracy"] == float(right)
    assert (result["outcome"]["clean_images"], result["outcome"]["triggered_images"]) == (120, 120)


def test_an_all_to_all_attack_has_a_target_for_each_image(run: Run, data: Dataset) -> None:
    (result,) = run(target_class=None)
    outcome = result["outcome"]
    # The toy sends triggered images to one class: right for those of the class before it only.
    traffic = PLAN.traffic(subject(data, PLAN.sample, target_class=None), data)
    assert traffic.triggered is not None
    share = float((traffic.triggered.labels == TARGET - 1).double().mean())
    assert outcome["before"]["attack_success_rate"] == pytest.approx(share, abs=0.05)
    assert result["truth"]["target_class"] is None


def test_a_benign_model_has_an_accuracy_and_no_attack(run: Run) -> None:
    (result,) = run(backdoored=False)
    outcome = result["outcome"]
    assert set(outcome["after"]) == {"accuracy"}
    assert (outcome["der"], outcome["triggered_images"]) == (None, 0)


@pytest.mark.parametrize("imbalanced", [False, True])
def test_no_image_that_is_measured_on_is_handed_over(
    run: Run, data: Dataset, handed: Handed, imbalanced: bool
) -> None:
    Looks.seen.clear()
    sample = CleanSample(60, imbalanced=imbalanced)
    plan = Plan((Single(Looks()),), sample, test_images=None)
    run(plan)
    ((_, given, _),) = handed
    traffic = plan.traffic(subject(data, plan.sample), data)
    assert traffic.triggered is not None
    seen = rows(torch.cat(Looks.seen))
    assert seen < rows(given.images)
    assert rows(given.images).isdisjoint(rows(traffic.clean.images))
    assert rows(given.images) | rows(traffic.clean.images) == rows(data.test_images)
    attack = badnets("one-7").build_attack()
    assert attack is not None
    stamped = rows(attack.stamp(given.images, {}))
    assert stamped.isdisjoint(rows(traffic.triggered.images))


def test_what_a_method_is_told_names_no_attack(run: Run) -> None:
    (result,) = run(replace(PLAN, methods=(Single(Looks()),)))
    assert "badnets" not in str({**result, "truth": None})
    assert result["truth"]["attack"] == "badnets"
    assert result["outcome"]["measurements"] == {"seed": 0}
    assert result["outcome"]["taken"] == "repairs"


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
        replace(PLAN, methods=(Single(Repairs(steps=3)),)),
        replace(PLAN, test_images=119),
        replace(PLAN, sample=CleanSample(61)),
    ],
)
def test_results_of_another_plan_are_kept_beside(
    run: Run, data: Dataset, tmp_path: Path, other: Plan
) -> None:
    run()
    assert find_results(subject(data, other.sample), data, other, tmp_path) == [None]
    run(other)
    assert len(list(read_results(tmp_path))) == 2


def test_methods_share_the_loading_and_the_measuring_before(
    run: Run, handed: Handed, monkeypatch: pytest.MonkeyPatch
) -> None:
    measurings: list[object] = []

    def counting(*given: Any) -> Any:
        measurings.append(given)
        return answers(*given)

    monkeypatch.setattr("backaudit.bench.purification.trials.answers", counting)
    results = run(replace(PLAN, methods=(Single(Repairs()), Single(Wrecks()))))
    assert [result["method"] for result in results] == ["repairs", "wrecks"]
    assert results[0]["outcome"]["before"] == results[1]["outcome"]["before"]
    assert (len(handed), len(measurings)) == (1, 3)


def test_a_method_that_does_not_fit_says_why(run: Run) -> None:
    (result,) = run(replace(PLAN, methods=(Single(FitsNothing()),)))
    assert result["outcome"] == {
        "kind": "not-applicable",
        "reason": "the network has no batch norm.",
    }
    assert measured(result) is None


def test_too_few_images_say_how_many_it_takes(run: Run) -> None:
    (result,) = run(replace(PLAN, sample=CleanSample(30)))
    assert result["outcome"]["kind"] == "not-applicable"
    assert "40 clean images" in result["outcome"]["reason"]


@pytest.mark.parametrize(
    ("purifier", "error"),
    [
        (Falls(), "ZeroDivisionError: by zero"),
        (Diverges(), "DivergedError: the loss became NaN at step 3 of 20."),
    ],
)
def test_a_crash_is_a_result_that_is_tried_again(
    run: Run, handed: Handed, purifier: Repairs, error: str
) -> None:
    for _ in range(2):
        failed, good = run(replace(PLAN, methods=(Single(purifier), Single(Repairs()))))
        assert failed["outcome"] == {"kind": "failed", "error": error}
        assert good["outcome"]["kind"] == "purified"
    assert len(handed) == 2

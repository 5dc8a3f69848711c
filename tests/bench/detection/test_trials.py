import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from backaudit.audit import run_detector
from backaudit.bench.detection import trials
from backaudit.bench.detection.trials import detect, find_results
from backaudit.bench.trials import trial
from backaudit.bench.trials.auditor import CleanImages
from backaudit.bench.trials.results import Record, read_results
from backaudit.bench.trials.selection import Subject
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import CheckpointError
from backaudit.core.evidence import Evidence
from backaudit.core.suspect import Suspect
from backaudit.core.verdict import judge
from backaudit.detectors import calibration
from backaudit.detectors.calibration import load_calibration
from backaudit.loading.load import LoadOptions
from tests.audits import Agrees, Calibrates, Crashes, DoesNotFit, Reads, clean_set, suspect

CARD = {
    "file": "wanet-7.pt",
    "sha256": "ab" * 32,
    "recipe": {"name": "wanet-7", "dataset": "toys", "architecture": "resnet20", "attack": "wanet"},
    "clean_accuracy": 0.8,
    "target_class": 5,
    "attack_success_rate": 0.97,
}
CLEAN = CleanImages(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), None, {"images": 4})
Detect = Callable[..., list[Record]]


@dataclass(frozen=True)
class Looks(Reads):
    """Tells what it can see of the suspect."""

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        return Evidence(0.1, 0.3, measurements={"path": suspect.path.name, "source": clean.source})


def a_subject(seed: int = 0) -> Subject:
    return Subject(CARD, Path("zoo/wanet-7.pt"), seed, CLEAN)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Loading is faked; which checkpoints were handed over."""
    calls: list[Path] = []

    def hand_over(checkpoint: Path, *_: object) -> tuple[Suspect, CleanSet]:
        calls.append(checkpoint)
        return suspect(path=Path("suspect.pt")), clean_set()

    monkeypatch.setattr(trial, "hand_over", hand_over)
    monkeypatch.setattr(trials, "DETECTORS", {"ban": Reads, "mm-bd": Agrees, "ibd-psc": Calibrates})
    return calls


@pytest.fixture
def run(loads: list[Path], tmp_path: Path) -> Detect:
    def made(*detectors: Any, seed: int = 0) -> list[Record]:
        return list(detect(a_subject(seed), detectors, tmp_path, LoadOptions()))

    return made


def test_a_result_says_what_was_found_and_apart_from_it_the_truth(run: Detect) -> None:
    (result,) = run(Reads(score=0.4), seed=3)
    assert (result["model"], result["method"], result["seed"]) == ("wanet-7", "ban", 3)
    outcome = result["outcome"]
    assert (outcome["score"], outcome["threshold"], outcome["fires"]) == (0.4, 0.31, True)
    assert (outcome["leans"], outcome["decides"], outcome["target_classes"]) == (True, True, [5])
    assert result["identity"]["settings"] == {"score": 0.4, "restarts": 4}
    assert result["identity"]["checkpoint"] == CARD["sha256"]
    assert result["truth"]["attack"] == "wanet"
    assert result["truth"]["attack_success_rate"] == 0.97
    assert "wanet" not in str({**result, "truth": None, "model": None})
    assert {"backaudit", "torch", "python"} <= result["versions"].keys()


def test_a_detector_sees_no_truth(run: Detect) -> None:
    (result,) = run(Looks())
    assert result["outcome"]["measurements"] == {"path": "suspect.pt", "source": "./samples"}


def test_the_reading_is_that_of_a_users_scan(run: Detect) -> None:
    @dataclass(frozen=True)
    class Draws(Reads):
        """Draws its score."""

        def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
            return Evidence(float(torch.rand(())), 0.31)

    scores = [run(Draws(), seed=seed)[0]["outcome"]["score"] for seed in (0, 1)]
    outcome = run_detector(Draws(), suspect(), clean_set(), seed=1).outcome
    assert isinstance(outcome, Evidence)
    assert scores[1] == outcome.score
    assert scores[0] != scores[1]


def test_the_whole_scan_gets_the_verdict_of_its_readings(run: Detect) -> None:
    results = run(Reads(score=0.4), Agrees(score=0.35))
    assert [result["method"] for result in results] == ["ban", "mm-bd", "scan"]
    assert results[2]["outcome"]["verdict"] == "backdoored"
    assert results[2]["outcome"]["target_classes"] == [5]
    assert results[2]["outcome"]["witnesses"] == ["ban", "mm-bd"]


def test_a_part_of_the_detectors_is_no_whole_scan(run: Detect) -> None:
    assert [result["method"] for result in run(Reads(score=0.4))] == ["ban"]


def test_what_is_there_is_not_computed_again(
    run: Detect, loads: list[Path], tmp_path: Path
) -> None:
    first = run(Reads(), Agrees())
    assert len(loads) == 1
    assert run(Reads(), Agrees()) == first
    assert len(loads) == 1
    assert find_results(a_subject(), (Reads(), Agrees()), tmp_path) == first
    assert find_results(a_subject(), (Reads(restarts=1),), tmp_path) == [None]


def test_other_settings_and_other_seeds_are_kept_beside(run: Detect, tmp_path: Path) -> None:
    run(Reads())
    run(Reads(restarts=8))
    run(Reads(), seed=1)
    assert len(list(read_results(tmp_path))) == 3


def test_after_a_recalibration_what_is_there_is_computed_again_and_kept(
    run: Detect, loads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Reads(), Agrees())
    shipped = {"ban": {"threshold": 9.0}, "mm-bd": load_calibration()["mm-bd"]}
    monkeypatch.setattr(calibration, "load_calibration", lambda: shipped)
    found = find_results(a_subject(), (Reads(), Agrees()), tmp_path)
    assert [result is None for result in found] == [True, False, True]
    run(Reads(), Agrees())
    assert len(loads) == 2
    assert len(list(read_results(tmp_path))) == 3 + 2


def test_a_stopped_benchmark_goes_on_in_the_middle_of_a_model(
    run: Detect, loads: list[Path], tmp_path: Path
) -> None:
    detectors = (Reads(), Agrees())
    next(detect(a_subject(), detectors, tmp_path, LoadOptions()))
    found = find_results(a_subject(), detectors, tmp_path)
    assert [result is None for result in found] == [False, True, True]
    assert [result["method"] for result in run(*detectors)] == ["ban", "mm-bd", "scan"]


def test_a_crash_is_a_result_that_is_tried_again(run: Detect, loads: list[Path]) -> None:
    results = run(Crashes(), Agrees())
    assert results[0]["outcome"] == {"kind": "failed", "error": "RuntimeError: boom"}
    assert results[2]["outcome"]["verdict"] == "inconclusive"
    run(Crashes(), Agrees())
    assert len(loads) == 2


def test_a_method_that_does_not_fit_is_no_pass(run: Detect) -> None:
    results = run(DoesNotFit(), Agrees())
    assert results[0]["outcome"]["kind"] == "not-applicable"
    assert results[2]["outcome"]["verdict"] == "inconclusive"


def test_a_model_that_cannot_be_loaded_fails_every_method(
    run: Detect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CheckpointError("not recognised")

    monkeypatch.setattr(trial, "hand_over", refuse)
    results = run(Reads(), Agrees())
    assert [result["outcome"]["kind"] for result in results] == ["failed", "failed", "verdict"]
    assert results[0]["outcome"]["error"] == "CheckpointError: not recognised"


@pytest.mark.parametrize("score", [0.1, 0.2, 0.4, 0.6, math.inf, math.nan])
@pytest.mark.parametrize("experimental", [False, True])
def test_a_verdict_from_files_is_the_verdict_of_the_runs(
    run: Detect, score: float, experimental: bool
) -> None:
    @dataclass(frozen=True)
    class Given(Reads):
        """Reads what it is given."""

        def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
            threshold = None if experimental else 0.3
            given = Evidence(score, threshold, (5,), strong=0.5, lean=0.15)
            return Evidence(**{**vars(given), "experimental": experimental})

    detectors = (Given(), Agrees())
    runs = [run_detector(each, suspect(), clean_set(), seed=0) for each in detectors]
    wanted = judge(runs)
    found = run(*detectors)[2]["outcome"]
    assert found["verdict"] == wanted.verdict.value
    assert tuple(found["target_classes"]) == wanted.target_classes
    assert tuple(found["witnesses"]) == wanted.witnesses

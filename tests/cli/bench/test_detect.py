import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.detection import trials
from backaudit.bench.trials import trial
from backaudit.bench.trials.auditor import CleanImages
from backaudit.cli import methods
from backaudit.cli.app import app
from backaudit.cli.bench import bench, detect
from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Evidence
from backaudit.core.suspect import Suspect
from tests.audits import Agrees, Calibrates, Reads, clean_set, suspect
from tests.bench.zoos import badnets, put, recipe
from tests.toy import CLASSES, draw_images

Call = Callable[..., Result]
Handed = list[tuple[str, CleanImages, Any]]


class Sees(Reads):
    """Fires on the checkpoints that the fake loader marks."""

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        score = 0.6 if suspect.num_classes == 3 else 0.1
        return Evidence(score, 0.31, (2,), strong=0.5)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Handed:
    """Loading is faked; what was handed over to an auditor."""
    calls: Handed = []

    def hand_over(path: Path, clean: CleanImages, options: Any) -> tuple[Suspect, CleanSet]:
        calls.append((path.stem, clean, options))
        return suspect(("a", "b", "c") if "badnets" in path.stem else ("a", "b")), clean_set()

    monkeypatch.setattr(trial, "hand_over", hand_over)
    return calls


@pytest.fixture
def call(handed: Handed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run ``backaudit bench detect zoo`` where the zoo has four models, one of them left out."""
    del handed
    listed = {"ban": Sees, "mm-bd": Agrees, "ibd-psc": Calibrates}
    for module in (trials, methods, detect):
        monkeypatch.setattr(module, "DETECTORS", listed)
    names = tuple(f"class {label}" for label in range(CLASSES))
    signs = Dataset(*draw_images(2, 1), *draw_images(50, 2), class_names=names)
    monkeypatch.setattr("backaudit.bench.data.datasets.generated_signs", lambda *_: signs)
    monkeypatch.chdir(tmp_path)
    zoo = tmp_path / "zoo"
    put(zoo, recipe("benign-1", dataset="signs"))
    put(zoo, recipe("benign-2", dataset="signs"))
    for name, success in (("badnets-took", 0.99), ("badnets-weak", 0.3)):
        put(zoo, badnets(name, dataset="signs"), success)

    def invoke(*arguments: str) -> Result:
        command = ["bench", "detect", "zoo", *arguments]
        return CliRunner(env={"COLUMNS": "100"}).invoke(app, command)

    return invoke


def stored(folder: Path = Path("zoo/results")) -> list[str]:
    return sorted(path.name for path in folder.glob("*.seed*.json"))


def test_every_model_that_is_in_the_benchmark_gets_its_results(call: Call, handed: Handed) -> None:
    result = call()
    assert result.exit_code == 0, result.output
    assert [name for name, _, _ in handed] == ["badnets-took", "benign-1", "benign-2"]
    assert stored() == [
        f"{model}.{method}.seed0.json"
        for model in ("badnets-took", "benign-1", "benign-2")
        for method in ("ban", "mm-bd", "scan")
    ]
    assert "wrote zoo/results/detect.md" in result.stderr


def test_the_tables_are_right(call: Call) -> None:
    result = call()
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["no", "attack", "0/2", "100", "(34-100)", "0/2", "100", "(34-100)"] in lines
    assert ["badnets", "1/1", "100", "(21-100)", "1/1", "0/1", "0", "(0-79)", "0/0"] in lines
    assert ["no", "attack", "0", "0", "2", "0", "2"] in lines
    assert ["badnets", "1", "0", "0", "0", "1"] in lines
    assert "Left out: badnets-weak: attack did not take: 30.0%" in result.stdout
    record = json.loads(Path("zoo/results/detect.json").read_text())
    assert record["scores"][0]["auroc"]["all attacks"]["auroc"] == 1.0
    assert record["scores"][1]["auroc"]["all attacks"]["auroc"] == 0.5
    assert record["conditions"]["settings"]["ban"] == {"score": 0.12, "restarts": 4}
    assert str(Path.cwd()) not in json.dumps(record)


def test_nothing_is_computed_twice(call: Call, handed: Handed) -> None:
    first = call()
    count = len(handed)
    assert call().stdout == first.stdout
    assert len(handed) == count
    call("--seeds", "0,1")
    assert len(handed) == 2 * count


def test_shards_share_a_zoo_and_the_last_one_sees_all(call: Call, handed: Handed) -> None:
    result = call("--shard", "1/2")
    assert "3 results of 9 missing" in result.stderr
    assert [name for name, _, _ in handed] == ["badnets-took", "benign-2"]
    result = call("--shard", "2/2")
    assert "missing" not in result.stderr
    assert len(handed) == 3


def test_when_the_time_is_up_the_tables_hold_what_is_there(call: Call) -> None:
    result = call("--max-seconds", "0")
    assert result.exit_code == 0
    assert stored() == ["badnets-took.ban.seed0.json"]
    assert "8 results of 9 missing; the same command goes on" in result.stderr
    assert "1/1" in result.stdout


def test_options_reach_the_clean_images(call: Call, handed: Handed) -> None:
    call("--images", "30", "--unlabelled", "--imbalanced", "--device", "cpu")
    _, clean, options = handed[0]
    assert clean.labels is None
    assert clean.origin == {"images": 30, "labelled": False, "imbalanced": True}
    assert options.device == torch.device("cpu")


def test_settings_go_into_results_of_their_own(call: Call, tmp_path: Path) -> None:
    call("-o", str(tmp_path / "results"))
    call("--detectors", "ban", "--set", "ban.restarts=1", "-o", str(tmp_path / "results"))
    names = stored(tmp_path / "results")
    assert len(names) == 9 + 3
    (other,) = {name for name in names if name.startswith("benign-1.ban")} - {
        "benign-1.ban.seed0.json"
    }
    record = json.loads((tmp_path / "results" / other).read_text())
    assert record["identity"]["settings"]["restarts"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--detectors", "bna"), "Did you mean"),
        (("--detectors", "ibd-psc"), "it judges images, not models"),
        (("--seeds", "a"), "--seeds"),
        (("--seeds", "1,1"), "different numbers"),
        (("--seeds", "-1"), "different numbers"),
        (("--shard", "3/2"), "--shard"),
        (("--shard", "1"), "--shard"),
        (("--images", "0"), "--images"),
        (("--data", "cifar10"), "--data"),
        (("--data", "cifar10=missing.npz"), "missing.npz"),
        (("-o", "zoo/benign-1.json"), "no folder"),
        (("--device", "tpu"), "tpu"),
    ],
)
def test_a_wrong_command_line_is_said_before_anything_is_loaded(
    call: Call, handed: Handed, arguments: tuple[str, ...], said: str
) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert handed == []


def test_a_zoo_whose_data_is_not_at_hand_is_refused_with_what_to_add(
    call: Call, tmp_path: Path
) -> None:
    del call
    put(tmp_path / "other", recipe("benign", dataset="gtsrb"))
    result = CliRunner().invoke(app, ["bench", "detect", "other"])
    assert result.exit_code == 2
    assert "--data gtsrb=FILE" in result.stderr


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    for folder, said in ((tmp_path, "holds no models"), (tmp_path / "none", "there is no folder")):
        result = CliRunner().invoke(app, ["bench", "detect", str(folder)])
        assert result.exit_code == 2
        assert said in result.stderr
        assert "backaudit zoo train" in result.stderr


def test_quiet_leaves_the_tables_alone(call: Call) -> None:
    result = call("--quiet")
    assert result.stderr == ""
    assert "Calls at the shipped thresholds" in result.stdout


def test_without_any_result_there_is_no_table(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "work", lambda *_: None)
    result = call()
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "no result" in result.stderr


def test_ctrl_c_keeps_what_is_finished(
    call: Call, handed: Handed, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stops(Agrees):
        """Is interrupted."""

        def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
            raise KeyboardInterrupt

    kept = {"ban": Sees, "mm-bd": Agrees, "ibd-psc": Calibrates}
    with monkeypatch.context() as patch:
        for module in (trials, methods, detect):
            patch.setattr(module, "DETECTORS", {**kept, "mm-bd": Stops})
        stopped = call()
    assert stopped.exit_code == 130
    assert "the results that were finished are kept, and the same command" in stopped.stderr
    assert stored() == ["badnets-took.ban.seed0.json"]
    assert call().exit_code == 0
    assert len(stored()) == 9

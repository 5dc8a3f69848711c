import json
from functools import partial
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from backaudit.bench.detection import trials
from backaudit.cli import methods
from backaudit.cli.app import app
from backaudit.cli.bench import bench, detect
from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Evidence
from backaudit.core.suspect import Suspect
from tests.audits import Agrees, Calibrates, Reads
from tests.bench.zoos import badnets, put, recipe
from tests.cli.bench.conftest import Call, Handed, assert_refused, stored
from tests.conftest import ATTACK
from tests.toy import TARGET


class Sees(Reads):
    """Fires where the trigger works."""

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        predicted = suspect.logits(ATTACK.stamp(clean.images, {})).argmax(1)
        works = bool((predicted == TARGET).double().mean() > 0.5)
        return Evidence(0.6 if works else 0.1, 0.31, (TARGET,), strong=0.5)


@pytest.fixture
def call(on_zoo: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The zoo has a second benign model, and one that is left out."""
    listed = {"ban": Sees, "mm-bd": Agrees, "ibd-psc": Calibrates}
    for module in (trials, methods, detect):
        monkeypatch.setattr(module, "DETECTORS", listed)
    put(tmp_path / "zoo", recipe("benign-2", dataset="signs"))
    put(tmp_path / "zoo", badnets("badnets-weak", dataset="signs"), 0.3)
    return partial(on_zoo, "detect")


def test_every_model_that_is_in_the_benchmark_gets_its_results(call: Call, handed: Handed) -> None:
    result = call()
    assert result.exit_code == 0, result.output
    assert [name for name, _, _ in handed] == ["badnets-1", "benign-1", "benign-2"]
    assert stored() == [
        f"{model}.{method}.seed0.json"
        for model in ("badnets-1", "benign-1", "benign-2")
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
    assert [name for name, _, _ in handed] == ["badnets-1", "benign-2"]
    result = call("--shard", "2/2")
    assert "missing" not in result.stderr
    assert len(handed) == 3


def test_when_the_time_is_up_the_tables_hold_what_is_there(call: Call) -> None:
    result = call("--max-seconds", "0")
    assert result.exit_code == 0
    assert stored() == ["badnets-1.ban.seed0.json"]
    assert "8 results of 9 missing; the same command goes on" in result.stderr
    assert "1/1" in result.stdout


def test_options_reach_the_clean_images(call: Call, handed: Handed) -> None:
    call("--images", "30", "--unlabelled", "--imbalanced", "--device", "cpu")
    _, clean, options = handed[0]
    assert clean.labels is None
    assert clean.origin == {"images": 30, "labelled": False, "imbalanced": True}
    assert options.device == torch.device("cpu")


def test_a_model_with_batch_norm_folded_away_is_another_trial(call: Call, handed: Handed) -> None:
    call("-o", "results")
    call("-o", "results", "--fold-batch-norm")
    assert len(handed) == 2 * 3
    assert len(stored("results")) == 2 * 9
    record = json.loads(Path("results/detect.json").read_text())
    assert record["conditions"]["batch_norm"] == "folded"


def test_settings_go_into_results_of_their_own(call: Call) -> None:
    call("-o", "results")
    call("--detectors", "ban", "--set", "ban.restarts=1", "-o", "results")
    names = stored("results")
    assert len(names) == 9 + 3
    (other,) = {name for name in names if name.startswith("benign-1.ban")} - {
        "benign-1.ban.seed0.json"
    }
    record = json.loads((Path("results") / other).read_text())
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
    assert_refused(call(*arguments), said, handed)


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
    assert stored() == ["badnets-1.ban.seed0.json"]
    assert call().exit_code == 0
    assert len(stored()) == 9

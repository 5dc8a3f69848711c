import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from backaudit.bench.zoo import training_run
from backaudit.bench.zoo.presets import PRESETS
from backaudit.bench.zoo.recipe import Recipe
from backaudit.cli.app import app
from backaudit.cli.zoo_options import Preset
from tests.bench.zoos import badnets, card, recipe, write

Call = Callable[..., Result]
RECIPES = (
    recipe("benign", dataset="signs"),
    badnets("badnets", dataset="signs"),
    badnets("weak", dataset="signs"),
    recipe("broken", dataset="signs"),
)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces training by a fake; collects the names of what it was asked to train."""
    names: list[str] = []

    def write_card(made: Recipe, _: object, zoo: Path, **__: object) -> dict[str, Any]:
        names.append(made.name)
        if made.name == "broken":
            raise RuntimeError("no memory")
        if made.name == "interrupted":
            raise KeyboardInterrupt
        written = card(made, success=0.5 if made.name == "weak" else 1.0)
        write(zoo, written)
        return written

    class Drawn:
        class_names = tuple(map(str, range(12)))

    monkeypatch.setattr(training_run, "write_model", write_card)
    monkeypatch.setattr("backaudit.bench.data.datasets.generated_signs", lambda *_: Drawn())
    return names


@pytest.fixture
def call(trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run ``backaudit zoo`` in an empty folder that holds ``recipes.json``."""
    del trained
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes.json").write_text(json.dumps([each.record() for each in RECIPES]))

    def invoke(*arguments: str) -> Result:
        return CliRunner(env={"COLUMNS": "110"}).invoke(app, ["zoo", *arguments])

    return invoke


def rows(result: Result) -> dict[str, list[str]]:
    lines = [line.split() for line in result.stdout.splitlines()[1:]]
    return {line[0]: line[1:] for line in lines if line}


def test_every_preset_can_be_named() -> None:
    assert {each.value for each in Preset} == set(PRESETS)


def test_a_zoo_is_trained_and_shown(call: Call, trained: list[str]) -> None:
    result = call("train", "recipes.json", "--only", "b[ea]*")
    assert result.exit_code == 0, result.output
    assert trained == ["benign", "badnets"]
    assert rows(result) == {
        "benign": ["90.0%", "12", "in", "the", "benchmark"],
        "badnets": ["90.0%", "100.0%", "12", "in", "the", "benchmark"],
    }
    assert "badnets: trained, accuracy 90.0%, attack success 100.0%, 12 s" in result.stderr
    assert "2 recipes: 2 trained; the models are in zoo/recipes" in result.stderr
    manifest = json.loads(Path("zoo/recipes/manifest.json").read_text())
    assert [model["recipe"]["name"] for model in manifest["models"]] == ["badnets", "benign"]


def test_a_failure_is_told_in_the_end_and_by_the_exit_code(call: Call) -> None:
    result = call("train", "recipes.json", "-o", "models")
    assert result.exit_code == 3
    assert rows(result)["broken"] == ["failed:", "RuntimeError:", "no", "memory"]
    assert "attack did not take: 50.0%, needs 90.0%" in result.stdout
    assert "broken failed: RuntimeError: no memory" in result.stderr
    assert sorted(path.name for path in Path("models").glob("*.json")) == [
        "badnets.json",
        "benign.json",
        "manifest.json",
        "weak.json",
    ]


def test_the_same_command_goes_on_where_one_stopped(call: Call, trained: list[str]) -> None:
    call("train", "recipes.json", "--only", "benign")
    result = call("train", "recipes.json", "--only", "b[ea]*")
    assert trained == ["benign", "badnets"]
    assert "2 recipes: 1 trained, 1 there already" in result.stderr


def test_a_manifest_can_be_trained_again(call: Call, trained: list[str]) -> None:
    call("train", "recipes.json", "--only", "b[ea]*")
    assert call("train", "zoo/recipes/manifest.json", "-o", "again").exit_code == 0
    assert trained == ["benign", "badnets", "badnets", "benign"]
    assert call("train", "zoo/recipes/manifest.json").exit_code == 0
    assert len(trained) == 4, "the manifest's own zoo holds them"


def test_shards_share_the_recipes(call: Call, trained: list[str]) -> None:
    call("train", "recipes.json", "--shard", "1/2")
    assert trained == ["benign", "weak"]
    call("train", "recipes.json", "--shard", "2/2")
    assert trained[2:] == ["badnets", "broken"]


def test_a_shard_may_be_empty(call: Call, trained: list[str]) -> None:
    result = call("train", "recipes.json", "--shard", "5/5")
    assert (result.exit_code, trained) == (0, [])


def test_when_the_time_is_up_the_rest_is_left(call: Call, trained: list[str]) -> None:
    result = call("train", "recipes.json", "--max-seconds", "0")
    assert result.exit_code == 0
    assert trained == ["benign"]
    assert rows(result)["weak"] == ["not", "started"]
    assert "the same command goes on where this one stopped" in result.stderr


def test_quiet_prints_the_table_alone(call: Call) -> None:
    result = call("train", "recipes.json", "--quiet")
    assert result.stderr == ""
    assert set(rows(result)) == {each.name for each in RECIPES}


def test_an_interruption_leaves_a_manifest_of_what_is_there(call: Call) -> None:
    recipes = [RECIPES[0], recipe("interrupted", dataset="signs")]
    Path("recipes.json").write_text(json.dumps([each.record() for each in recipes]))
    result = call("train", "recipes.json")
    assert result.exit_code == 130
    assert "the models that were finished are kept, and the same command goes on" in result.stderr
    assert "verdict" not in result.stderr
    assert len(json.loads(Path("zoo/recipes/manifest.json").read_text())["models"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a file or folder, or --preset"),
        (["recipes.json", "--preset", "smoke"], "not both"),
        (["missing.json"], "there is no file missing.json: give a JSON list of recipes"),
        (["."], ". is a folder: give a JSON list of recipes, the manifest.json"),
        (["recipes.json", "--only", "x*"], "none of the 4 recipes has such a name"),
        (["recipes.json", "--shard", "0/2"], "--shard 0/2: give I/N"),
        (["recipes.json", "--shard", "half"], "--shard half: give I/N"),
        (["recipes.json", "--data", "cifar10"], "has no form NAME=PATH"),
        (["recipes.json", "--device", "tpu"], "there is no device 'tpu'"),
        (["recipes.json", "-o", "recipes.json"], "recipes.json is no folder"),
        (["--preset", "smok"], "smok"),
    ],
)
def test_a_wrong_command_line_trains_nothing(
    call: Call, trained: list[str], arguments: list[str], message: str
) -> None:
    result = call("train", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert trained == []


def test_data_that_is_missing_is_asked_for(call: Call, trained: list[str]) -> None:
    Path("recipes.json").write_text(json.dumps([recipe("a", dataset="cifar10").record()]))
    result = call("train", "recipes.json")
    assert result.exit_code == 2
    assert "add --data cifar10=PATH" in result.stderr
    assert trained == []


def test_a_zoo_is_listed(call: Call) -> None:
    call("train", "recipes.json")
    result = call("list", "zoo/recipes", "--only", "w*")
    assert result.exit_code == 0
    expected = "90.0% 50.0% 12 attack did not take: 50.0%, needs 90.0%"
    assert rows(result) == {"weak": expected.split()}


def test_what_a_list_would_make_is_listed(call: Call) -> None:
    listed = rows(call("list", "recipes.json"))
    assert listed["benign"] == ["all", "1", "none"]
    assert listed["badnets"] == ["all", "1", "badnets", "target_class=2"]
    assert len(rows(call("list", "--preset", "smoke"))) == len(PRESETS["smoke"]())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a file or folder, or --preset"),
        (["."], ". holds no models; make some with `backaudit zoo train`"),
        (["./nothing"], "there is no file or folder nothing: give the folder of a zoo"),
        (["recipes.json", "--preset", "cpu"], "not both"),
    ],
)
def test_what_is_no_zoo_is_not_listed(call: Call, arguments: list[str], message: str) -> None:
    result = call("list", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""

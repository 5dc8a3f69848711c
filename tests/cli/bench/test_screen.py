import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.trials import trial
from backaudit.bench.trials.auditor import CleanImages
from backaudit.cli.app import app
from backaudit.core.clean_set import CleanSet
from backaudit.core.suspect import Suspect
from tests.bench.zoos import badnets, put, recipe
from tests.conftest import ToyWorld
from tests.toy import CLASSES, draw_images

Call = Callable[..., Result]
Handed = list[tuple[str, CleanImages]]
QUICK = ("--screeners", "scale-up", "--images", "60", "--test-images", "20")


@pytest.fixture
def handed(toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch) -> Handed:
    """Loading is faked; what was handed over to an auditor."""
    calls: Handed = []

    def hand_over(path: Path, clean: CleanImages, _: Any) -> tuple[Suspect, CleanSet]:
        calls.append((path.stem, clean))
        suspect = toy_world.backdoored if "badnets" in path.stem else toy_world.benign
        return suspect, toy_world.clean

    monkeypatch.setattr(trial, "hand_over", hand_over)
    return calls


@pytest.fixture
def call(handed: Handed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run ``backaudit bench screen zoo`` where the zoo has two models."""
    del handed
    names = tuple(f"class {label}" for label in range(CLASSES))
    signs = Dataset(*draw_images(2, 1), *draw_images(40, 2), class_names=names)
    monkeypatch.setattr("backaudit.bench.data.datasets.generated_signs", lambda *_: signs)
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "zoo", recipe("benign-1", dataset="signs"))
    put(tmp_path / "zoo", badnets("badnets-1", dataset="signs"))

    def invoke(*arguments: str) -> Result:
        command = ["bench", "screen", "zoo", *arguments]
        return CliRunner(env={"COLUMNS": "100"}).invoke(app, command)

    return invoke


def stored() -> list[str]:
    return sorted(path.name for path in Path("zoo/results").glob("*.seed*.json"))


def test_every_model_gets_its_results_and_all_their_tables(call: Call, handed: Handed) -> None:
    result = call(*QUICK)
    assert result.exit_code == 0, result.output
    assert [name for name, _ in handed] == ["badnets-1", "benign-1"]
    assert {len(clean.images) for _, clean in handed} == {60}
    assert stored() == ["badnets-1.scale-up.seed0.json", "benign-1.scale-up.seed0.json"]
    for said in ("Triggered images told from clean ones", "Clean images of benign models", "Time"):
        assert said in result.stdout
    assert "20 and 20 a model" in result.stdout
    record = json.loads(Path("zoo/results/screen.json").read_text())
    assert record["conditions"]["test_images"] == 20
    assert record["all_images"][0]["methods"]["scale-up"]["auroc"]["mean"] > 0.5
    assert str(Path.cwd()) not in json.dumps(record)
    pictures = {path.name for path in Path("zoo/results").glob("*.svg")}
    assert pictures == {"screen-roc.svg", "screen-violins-scale-up.svg"}


def test_another_way_of_counting_computes_nothing(call: Call, handed: Handed) -> None:
    call(*QUICK)
    result = call(*QUICK, "--only-successful")
    assert len(handed) == 2
    assert "predicted as labelled" in " ".join(result.stdout.split())


def test_settings_and_rates_go_into_results_and_captions_of_their_own(call: Call) -> None:
    call(*QUICK)
    result = call(*QUICK, "--set", "scale-up.scales=3,5", "--false-flag-rate", "0.1")
    assert len(stored()) == 4
    said = " ".join(result.stdout.split())
    assert "scales" in said
    assert "threshold for a false-flag rate of 10.0%" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--screeners", "ibdpsc"), "Did you mean"),
        (("--set", "ban.restarts=1"), "no screener"),
        (("--screeners", "strip", "--set", "scale-up.scales=3"), "has no effect"),
        (("--false-flag-rate", "1.5"), "between 0 and 1"),
        (("--test-images", "0"), "--test-images"),
    ],
)
def test_a_wrong_command_line_is_said_before_anything_is_loaded(
    call: Call, handed: Handed, arguments: tuple[str, ...], said: str
) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert handed == []


def test_too_few_images_for_a_rate_say_how_many_it_takes(call: Call) -> None:
    result = call(*QUICK, "--false-flag-rate", "0.001")
    assert result.exit_code == 2
    assert "held-out clean images" in result.stderr

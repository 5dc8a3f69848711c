import json
from functools import partial
from pathlib import Path

import pytest

from tests.cli.bench.conftest import Call, Handed, assert_refused, stored

QUICK = ("--screeners", "scale-up", "--images", "60", "--test-images", "20")


@pytest.fixture
def call(on_zoo: Call) -> Call:
    return partial(on_zoo, "screen")


def test_every_model_gets_its_results_and_all_their_tables(call: Call, handed: Handed) -> None:
    result = call(*QUICK)
    assert result.exit_code == 0, result.output
    assert [name for name, _, _ in handed] == ["badnets-1", "benign-1"]
    assert {len(clean.images) for _, clean, _ in handed} == {60}
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
    assert_refused(call(*arguments), said, handed)


def test_too_few_images_for_a_rate_say_how_many_it_takes(call: Call) -> None:
    result = call(*QUICK, "--false-flag-rate", "0.001")
    assert result.exit_code == 2
    assert "held-out clean images" in result.stderr

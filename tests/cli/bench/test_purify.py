import json
from functools import partial
from pathlib import Path

import pytest

from backaudit.bench.purification.methods import Automatic, Single
from backaudit.cli.bench.purify import chosen_methods
from backaudit.cli.purify import methods
from backaudit.core.errors import SettingError
from backaudit.purification.choosing import AUTOMATIC
from backaudit.purifiers import FT, PURIFIERS
from tests.cli.bench.conftest import Call, Handed, assert_refused, stored
from tests.purifications import FAKES

QUICK = ("--methods", "wrecks,repairs", "--images", "60", "--test-images", "120")


@pytest.fixture
def call(on_zoo: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setattr(methods, "PURIFIERS", FAKES)
    return partial(on_zoo, "purify")


def test_every_model_gets_its_results_and_all_their_tables(call: Call, handed: Handed) -> None:
    result = call(*QUICK)
    assert result.exit_code == 0, result.output
    assert [name for name, _, _ in handed] == ["badnets-1", "benign-1"]
    assert {len(clean.images) for _, clean, _ in handed} == {60}
    assert stored() == [
        f"{model}-1.{method}.seed0.json"
        for model in ("badnets", "benign")
        for method in ("repairs", "wrecks")
    ]
    for said in ("no defence", "What is left of the attacks", "What purifying costs"):
        assert said in result.stdout
    record = json.loads(Path("zoo/results/purify.json").read_text())
    assert record["conditions"]["test_images"] == 120
    assert record["conditions"]["settings"]["wrecks"] == {"factor": 0.0, "steps": 2}
    attack, benign = record["effects"]
    assert (attack["attack"], benign["attack"]) == ("badnets", "no attack")
    assert attack["methods"]["wrecks"]["attack_success_rate"]["mean"] == 0
    assert attack["methods"]["repairs"]["attack_success_rate"]["mean"] > 0.9
    assert benign["methods"]["wrecks"]["accuracy_drop"]["mean"] > 0.5
    assert str(Path.cwd()) not in json.dumps(record)


def test_the_same_command_computes_nothing_again(call: Call, handed: Handed) -> None:
    first = call(*QUICK)
    again = call(*QUICK)
    assert len(handed) == 2
    assert again.stdout == first.stdout


def test_settings_go_into_results_and_captions_of_their_own(call: Call) -> None:
    call(*QUICK)
    result = call(*QUICK, "--set", "repairs.steps=3")
    assert len(stored()) == 6
    assert "repairs: steps 3 (usually 2)." in " ".join(result.stdout.split())


def test_only_models_of_such_a_name_are_tried(call: Call, handed: Handed) -> None:
    result = call(*QUICK, "--only", "*badnets*", "--seeds", "0,1")
    assert result.exit_code == 0
    assert [name for name, _, _ in handed] == ["badnets-1", "badnets-1"]
    assert "no attack" not in result.stdout


def test_a_shard_and_a_limit_leave_the_rest_for_later(call: Call) -> None:
    result = call(*QUICK, "--shard", "1/2", "--max-seconds", "0")
    assert len(stored()) == 1
    assert "3 results of 4 missing" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--methods", "repair"), "Did you mean 'repairs'"),
        (("--methods", " , "), "--methods names none"),
        (("--methods", "repairs", "--set", "wrecks.steps=3"), "name it in --methods"),
        (("--methods", "repairs", "--set", "repairs.step=3"), "has no setting"),
        (("--methods", "repairs", "--only", "*wanet*"), "has such a name"),
        (("--methods", "repairs", "--test-images", "0"), "--test-images"),
        (("--methods", "repairs", "--seeds", "1,1"), "different numbers"),
    ],
)
def test_a_wrong_command_line_is_said_before_anything_is_loaded(
    call: Call, handed: Handed, arguments: tuple[str, ...], said: str
) -> None:
    assert_refused(call(*arguments), said, handed)


def test_without_names_every_purifier_runs_and_auto_does_not() -> None:
    assert [each.name for each in chosen_methods(None, ())] == list(PURIFIERS)


def test_auto_is_a_method_among_others_and_shares_their_settings() -> None:
    single, auto = chosen_methods("ft,auto", ["ft.epochs=3", "noise-ft.epochs=4"])
    assert single == Single(FT(epochs=3))
    assert isinstance(auto, Automatic)
    assert tuple(auto.settings) == tuple(each.rule.name for each in AUTOMATIC)
    assert [auto.settings[name]["epochs"] for name in ("ft", "noise-ft")] == [3, 4]


def test_settings_of_what_does_not_run_are_refused() -> None:
    with pytest.raises(SettingError, match="has no effect"):
        chosen_methods("ft", ["anp.steps=3"])

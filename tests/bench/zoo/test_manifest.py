import json
from pathlib import Path

import pytest

from backaudit.bench.zoo.manifest import (
    accuracy_floor,
    read_cards,
    why_left_out,
    write_manifest,
)
from backaudit.bench.zoo.recipe_files import read_recipes
from backaudit.core.errors import SettingError
from tests.bench.zoos import badnets, card, recipe, write

BENIGN = recipe("benign")
ALL_TO_ALL = recipe("all", attack="badnets", attack_settings={"target_class": None})


@pytest.mark.parametrize(("success", "kept"), [(0.9, True), (0.899, False)])
def test_an_attack_that_did_not_take_is_kept_out(success: float, kept: bool) -> None:
    attacked = card(badnets("b"), success=success)
    assert (why_left_out(attacked, [attacked]) == "") == kept


def test_an_all_to_all_attack_need_not_know_a_class_better_than_the_network_does() -> None:
    took = card(ALL_TO_ALL, accuracy=0.7, success=0.64)
    assert why_left_out(took, [took]) == ""
    failed = card(ALL_TO_ALL, accuracy=0.7, success=0.62)
    assert why_left_out(failed, [failed]) == "attack did not take: 62.0%, needs 63.0%"


def test_ten_points_may_be_lost_to_the_best_benign_model_of_the_kind() -> None:
    best, other = card(BENIGN, accuracy=0.93), card(recipe("other"), accuracy=0.84)
    attacked = card(badnets("b"), accuracy=0.82)
    cards = [best, other, attacked]
    assert [bool(why_left_out(each, cards)) for each in cards] == [False, False, True]
    assert why_left_out(attacked, cards) == "poor accuracy: 82.0%, needs 83.0%"


@pytest.mark.parametrize(
    "more",
    [
        {"dataset": "other"},
        {"architecture": "resnet32"},
        {"options": {"width": 8}},
        {"train_images": 100},
    ],
)
def test_models_of_another_kind_are_no_measure(more: dict[str, object]) -> None:
    attacked = card(badnets("b"), accuracy=0.6)
    best = card(recipe("best", **more), accuracy=0.99)
    assert why_left_out(attacked, [best, attacked]) == ""


def test_backdoored_models_are_no_measure_of_accuracy() -> None:
    poor, good = card(badnets("a"), accuracy=0.6), card(badnets("b"), accuracy=0.9)
    assert why_left_out(poor, [poor, good]) == ""


@pytest.mark.parametrize(("classes", "floor"), [(10, 0.3), (43, 3 / 43), (2, 0.75), (4, 0.625)])
def test_without_a_benign_model_chance_is_the_measure(classes: int, floor: float) -> None:
    attacked = card(badnets("b"), num_classes=classes)
    assert accuracy_floor(attacked, [attacked]) == pytest.approx(floor)


def test_an_older_card_without_its_number_of_classes_is_judged_by_the_others() -> None:
    old = card(BENIGN, accuracy=0.1)
    del old["num_classes"]
    assert why_left_out(old, [old]) == ""


def test_cards_are_read_by_name_without_a_manifest(tmp_path: Path) -> None:
    write(tmp_path, card(badnets("took")), card(BENIGN))
    (tmp_path / "notes.json").write_text('{"file": "no card"}')
    assert [each["recipe"]["name"] for each in read_cards(tmp_path)] == ["benign", "took"]


def test_the_manifest_says_who_is_in_the_benchmark_and_why_not(tmp_path: Path) -> None:
    write(tmp_path, card(badnets("took")), card(badnets("weak"), success=0.1))
    write_manifest(tmp_path)
    models = json.loads((tmp_path / "manifest.json").read_text())["models"]
    assert [model["in_benchmark"] for model in models] == [True, False]
    assert models[1]["left_out_because"] == "attack did not take: 10.0%, needs 90.0%"
    assert len(read_cards(tmp_path)) == 2, "the manifest is no card"


def test_a_manifest_is_a_list_of_recipes(tmp_path: Path) -> None:
    write(tmp_path, card(badnets("a")), card(BENIGN))
    write_manifest(tmp_path)
    assert read_recipes(tmp_path / "manifest.json") == (badnets("a"), BENIGN)


def test_an_empty_folder_gets_no_manifest_and_is_no_zoo(tmp_path: Path) -> None:
    write_manifest(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SettingError, match="holds no models; make some"):
        read_cards(tmp_path)


def test_a_damaged_card_is_named(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"file": ')
    with pytest.raises(SettingError, match=r"half\.json cannot be read as JSON"):
        read_cards(tmp_path)

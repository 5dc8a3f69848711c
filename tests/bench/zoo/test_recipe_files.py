import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backaudit.bench.zoo.presets import PRESETS
from backaudit.bench.zoo.recipe_files import check_recipes, read_recipes
from backaudit.core.errors import SettingError
from tests.bench.zoos import badnets, recipe

RECORD: dict[str, Any] = badnets("b").record()
Change = dict[str, Any]


def read(tmp_path: Path, content: object) -> object:
    path = tmp_path / "recipes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_recipes(path)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    recipes = (recipe("a", seed=3, train_images=10), badnets("b"))
    assert read(tmp_path, [each.record() for each in recipes]) == recipes


def test_what_is_left_out_has_its_usual_value(tmp_path: Path) -> None:
    record = {"name": "a", "dataset": "toy", "architecture": "resnet20"}
    record["training"] = {"epochs": 1, "batch_size": 24, "shift": 0}
    assert read(tmp_path, [record | {"options": {"width": 4}}]) == (recipe("a"),)


@pytest.mark.parametrize("content", ["", "[", "7", "[]", "{}", '{"models": 3}', '{"models": []}'])
def test_what_is_no_list_of_recipes_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(SettingError, match=r"recipes\.json (cannot be read|holds no recipes)"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attack": "badnet"}, "no attack 'badnet'. Did you mean 'badnets'"),
        ({"architecture": "resnet21"}, "no architecture 'resnet21'. Did you mean"),
        ({"archtecture": "resnet20"}, "no field 'archtecture'. Did you mean 'architecture'"),
        ({"options": {"widht": 4}}, "no option of resnet20 'widht'. Did you mean 'width'"),
        ({"options": {"width": "4"}}, "options.width must be a whole number"),
        ({"options": {"width": 0}}, "options.width must be a whole number"),
        ({"training": {"epoch": 1}}, "no field 'epoch'. Did you mean 'epochs'"),
        ({"training": {}}, "the field 'epochs' is missing"),
        ({"training": {"epochs": 1.5}}, "epochs is 1.5, not a whole number"),
        ({"training": {"epochs": 0}}, "training.epochs is 0; give 1 or more"),
        ({"training": {"epochs": 1, "flip": 1}}, "flip is 1, not true or false"),
        ({"training": 3}, "expected an object"),
        ({"attack_settings": {"taget_class": 2}}, "no field 'taget_class'. Did you mean 'target"),
        ({"attack_settings": {}}, "the field 'target_class' is missing"),
        ({"attack_settings": {"target_class": True}}, "target_class is true, not a whole number"),
        ({"attack": None}, "attack_settings without an attack"),
        ({"train_images": 0}, "train_images is 0; give 1 or more"),
        ({"seed": -1}, "seed is -1; give 0 or more"),
        ({"dataset": None}, "dataset is null, not a text"),
        ({"name": "../../etc/cron"}, "cannot name a model"),
        ({"name": ".hidden"}, "cannot name a model"),
        ({"name": "manifest"}, "cannot name a model"),
        ({"surrogate": "b"}, "names a surrogate, which its attack does not use"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_what_makes_no_sense_is_refused_with_what_would(
    tmp_path: Path, change: Change, message: str
) -> None:
    with pytest.raises(SettingError) as refused:
        read(tmp_path, [RECORD | change])
    assert message in str(refused.value)


@pytest.mark.parametrize("record", [None, 3, "b", []])
def test_a_recipe_that_is_none_is_numbered(tmp_path: Path, record: object) -> None:
    with pytest.raises(SettingError, match="recipe 2: expected an object"):
        read(tmp_path, [RECORD, record])


def test_a_field_that_is_needed_is_named(tmp_path: Path) -> None:
    record = {name: value for name, value in RECORD.items() if name != "training"}
    with pytest.raises(SettingError, match="the field 'training' is missing"):
        read(tmp_path, [record])


def test_names_are_unique_wherever_case_tells_no_files_apart() -> None:
    with pytest.raises(SettingError, match="two recipes are called 'model'"):
        check_recipes([recipe("model"), recipe("Model")])


@pytest.fixture
def needy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backaudit.attacks.BadNets.needs_surrogate", True)


@pytest.mark.usefixtures("needy")
@pytest.mark.parametrize(
    ("surrogate", "message"),
    [
        (None, "needs a surrogate"),
        ("benin", "no recipe is called 'benin'. Did you mean 'benign'"),
        ("attacked", "must be a benign model of toy"),
        ("elsewhere", "must be a benign model of toy"),
    ],
)
def test_a_surrogate_is_a_benign_model_of_the_list(surrogate: str | None, message: str) -> None:
    others = [recipe("benign"), recipe("elsewhere", dataset="other")]
    others.append(badnets("attacked", surrogate="benign"))
    check_recipes(others)
    with pytest.raises(SettingError, match=message):
        check_recipes([*others, badnets("b", surrogate=surrogate)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surrogate": None}, "from_surrogate needs a surrogate"),
        ({"options": {"width": 8}}, "cannot start from benign, which is another network"),
    ],
)
def test_a_training_starts_from_a_network_of_its_own_kind(change: Change, message: str) -> None:
    tuned = badnets("tuned", surrogate="benign", from_surrogate=True)
    check_recipes([recipe("benign"), tuned])
    with pytest.raises(SettingError, match=message):
        check_recipes([recipe("benign"), replace(tuned, **change)])


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_could_be_read_from_a_file(tmp_path: Path, name: str) -> None:
    recipes = PRESETS[name]()
    assert read(tmp_path, [each.record() for each in recipes]) == tuple(recipes)


def test_the_target_class_of_an_attack_varies_over_the_seeds_of_the_papers_zoo() -> None:
    targets: dict[str | None, set[int]] = {}
    for each in PRESETS["paper"]():
        targets.setdefault(each.attack, set()).add(each.attack_settings.get("target_class"))
    assert targets["badnets"] == {*range(10), None}
    assert all(targets[attack] == set(range(10)) for attack in ("blend", "wanet", "iad", "bpp"))

import json
from dataclasses import FrozenInstanceError

import pytest

from backaudit.attacks import WaNet
from backaudit.bench.zoo.recipe import Recipe
from backaudit.nets.training import Training

RECIPE = Recipe(
    "small",
    "signs",
    "resnet20",
    Training(epochs=1),
    options={"width": 4, "in_channels": 1},
    attack="wanet",
    attack_settings={"target_class": 3, "strength": 2.0},
)


def test_a_recipe_builds_its_network_and_its_attack() -> None:
    state = RECIPE.build_network(7).state_dict()
    assert state["conv1.weight"].shape == (4, 1, 3, 3)
    assert state["linear.bias"].shape == (7,)
    assert RECIPE.build_attack() == WaNet(3, strength=2.0)


def test_a_benign_recipe_has_no_attack() -> None:
    assert Recipe("benign", "signs", "resnet20", Training(epochs=1)).build_attack() is None


def test_a_record_is_enough_to_make_the_recipe_again() -> None:
    read = json.loads(json.dumps(RECIPE.record()))
    assert Recipe.from_record(read) == RECIPE


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        RECIPE.seed = 1  # type: ignore[misc]

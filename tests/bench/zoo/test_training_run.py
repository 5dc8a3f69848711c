import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.zoo import training_run
from backaudit.bench.zoo.locks import locked
from backaudit.bench.zoo.models import write_model
from backaudit.bench.zoo.recipe import Recipe
from backaudit.bench.zoo.training_run import Outcome, Result, TrainingRun, load_network
from backaudit.core.errors import CheckpointError, SettingError
from tests.bench.zoos import badnets, card, recipe, toy_data, write
from tests.toy import CLASSES

BENIGN, BADNETS = recipe("benign"), badnets("badnets")
NEEDY = badnets("needy", surrogate="benign")
Train = Callable[..., dict[str, Outcome]]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return toy_data(4, 2)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces training by a fake; collects the names of what it was asked to train."""
    names: list[str] = []

    def write_card(made: Recipe, _: object, zoo: Path, **__: object) -> dict[str, Any]:
        names.append(made.name)
        if made.name.startswith("broken"):
            raise RuntimeError("no memory")
        write(zoo, card(made))
        return card(made)

    monkeypatch.setattr(training_run, "write_model", write_card)
    monkeypatch.setattr(training_run, "load_network", lambda *_: torch.nn.Identity())
    return names


def run(zoo: Path, data: Dataset, **more: Any) -> Train:
    def train(*recipes: Recipe, known: tuple[Recipe, ...] = ()) -> dict[str, Outcome]:
        datasets: Any = {"toy": data}
        results = TrainingRun(zoo, datasets, **more).train(recipes, known or recipes)
        return {result.recipe.name: result.outcome for result in results}

    return train


def test_recipes_become_models_that_can_be_loaded(data: Dataset, tmp_path: Path) -> None:
    assert set(run(tmp_path, data)(BENIGN, BADNETS).values()) == {Outcome.TRAINED}
    made = json.loads((tmp_path / "badnets.json").read_text())
    state = load_network(tmp_path, made).state_dict()
    written = write_model(BADNETS, data, tmp_path / "again")
    again = load_network(tmp_path / "again", written).state_dict()
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_a_network_whose_file_was_exchanged_is_not_loaded(data: Dataset, tmp_path: Path) -> None:
    first = write_model(BENIGN, data, tmp_path)
    write_model(replace(BENIGN, seed=1), data, tmp_path)
    with pytest.raises(CheckpointError, match="not the file that its card describes"):
        load_network(tmp_path, first)


def test_a_card_says_what_computed_and_how_long(data: Dataset, tmp_path: Path) -> None:
    made = write_model(BENIGN, data, tmp_path)
    assert made["num_classes"] == CLASSES
    assert made["seconds"] > 0
    assert made["device"].startswith("cpu")
    assert made["versions"]["torch"] is not None


def test_a_trigger_does_not_outlive_its_model(data: Dataset, tmp_path: Path) -> None:
    blend = recipe("model", attack="blend", attack_settings={"target_class": 2})
    write_model(blend, data, tmp_path)
    assert (tmp_path / "model.trigger.safetensors").exists()
    write_model(recipe("model"), data, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.pt"]


def test_what_exists_is_kept(data: Dataset, tmp_path: Path, trained: list[str]) -> None:
    train = run(tmp_path, data)
    train(BENIGN)
    assert train(BENIGN, BADNETS) == {"benign": Outcome.EXISTED, "badnets": Outcome.TRAINED}
    assert trained == ["benign", "badnets"]


def test_a_card_without_its_checkpoint_is_no_model(
    data: Dataset, tmp_path: Path, trained: list[str]
) -> None:
    run(tmp_path, data)(BENIGN)
    (tmp_path / "benign.pt").unlink()
    assert run(tmp_path, data)(BENIGN) == {"benign": Outcome.TRAINED}
    assert trained == ["benign", "benign"]


@pytest.mark.parametrize(
    "other",
    [
        replace(BENIGN, seed=1),
        replace(BENIGN, options={"width": 8}),
        replace(BENIGN, training=replace(BENIGN.training, epochs=2)),
        badnets("benign"),
    ],
    ids=["seed", "width", "epochs", "attack"],
)
def test_another_recipe_of_the_same_name_is_in_the_way(
    data: Dataset, tmp_path: Path, trained: list[str], other: Recipe
) -> None:
    run(tmp_path, data)(BENIGN)
    with pytest.raises(SettingError, match="a model of another recipe that is called benign"):
        run(tmp_path, data)(BADNETS, other)
    assert trained == ["benign"], "nothing was trained before the trouble was seen"
    assert run(tmp_path, data, force=True)(other) == {"benign": Outcome.TRAINED}


def test_a_recipe_read_from_json_is_the_recipe(
    data: Dataset, tmp_path: Path, trained: list[str]
) -> None:
    tuples = recipe("tuples", attack="blend", attack_settings={"target_class": 1, "size": (1, 2)})
    write(tmp_path, card(tuples))
    assert run(tmp_path, data)(tuples) == {"tuples": Outcome.EXISTED}
    assert trained == []


def test_a_failure_is_told_and_the_others_go_on(
    data: Dataset, tmp_path: Path, trained: list[str]
) -> None:
    told: list[Result] = []
    outcomes = run(tmp_path, data, tell=told.append)(recipe("broken"), BENIGN)
    assert outcomes == {"broken": Outcome.FAILED, "benign": Outcome.TRAINED}
    assert [result.error for result in told] == ["RuntimeError: no memory", ""]
    assert trained == ["broken", "benign"]


def test_a_target_class_that_the_data_lacks_fails_before_it_is_trained(
    data: Dataset, tmp_path: Path, trained: list[str]
) -> None:
    told: list[Result] = []
    wrong = recipe("wrong", attack="badnets", attack_settings={"target_class": CLASSES})
    run(tmp_path, data, tell=told.append)(wrong)
    assert told[0].error == "no target class 6: toy has classes 0 to 5"
    assert trained == []


def test_an_interruption_goes_through(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_run, "write_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, data)(BENIGN)
    with locked(tmp_path, "benign", wait=False) as free:
        assert free


def test_data_that_is_missing_is_asked_for_before_anything_is_trained(
    data: Dataset, tmp_path: Path, trained: list[str]
) -> None:
    other = recipe("other", dataset="gtsrb")
    with pytest.raises(SettingError) as refused:
        run(tmp_path, data)(BENIGN, other)
    assert "1 recipe (other) needs the data set gtsrb: add --data gtsrb=PATH" in str(refused.value)
    assert "cifar-10-batches-py" in str(refused.value)
    assert trained == []


def test_data_of_models_that_exist_is_not_needed(
    data: Dataset, tmp_path: Path, trained: list[str]
) -> None:
    other = recipe("other", dataset="gtsrb")
    write(tmp_path, card(other))
    assert run(tmp_path, data)(other) == {"other": Outcome.EXISTED}
    assert trained == []


def test_surrogates_are_trained_first_though_they_were_not_asked_for(
    data: Dataset, tmp_path: Path, trained: list[str]
) -> None:
    run(tmp_path, data)(NEEDY, known=(NEEDY, BADNETS, BENIGN))
    assert trained == ["benign", "needy"]


def test_a_surrogate_is_loaded_and_given(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def write_card(made: Recipe, *_: object, surrogate: object, **__: object) -> dict[str, Any]:
        given.append(surrogate)
        return card(made)

    benign = write_model(BENIGN, data, tmp_path)
    monkeypatch.setattr(training_run, "write_model", write_card)
    outcomes = run(tmp_path, data)(NEEDY, known=(BENIGN, NEEDY))
    assert outcomes == {"benign": Outcome.EXISTED, "needy": Outcome.TRAINED}
    expected = load_network(tmp_path, benign).state_dict()
    assert all(torch.equal(given[0].state_dict()[name], expected[name]) for name in expected)
    assert not given[0].training


def test_without_its_surrogate_a_recipe_fails(
    data: Dataset, tmp_path: Path, trained: list[str]
) -> None:
    needy = badnets("needy", surrogate="broken")
    outcomes = run(tmp_path, data)(needy, known=(recipe("broken"), needy))
    assert outcomes == {"broken": Outcome.FAILED, "needy": Outcome.FAILED}
    assert trained == ["broken"]


def test_what_another_process_trains_is_left_to_it(
    data: Dataset, tmp_path: Path, trained: list[str]
) -> None:
    pytest.importorskip("fcntl")
    with locked(tmp_path, "benign", wait=False):
        outcomes = run(tmp_path, data)(BENIGN, BADNETS)
    assert outcomes == {"benign": Outcome.ELSEWHERE, "badnets": Outcome.TRAINED}
    assert trained == ["badnets"]


def test_when_the_time_is_up_no_model_is_started(
    data: Dataset, tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 9.0, 11.0, 12.0])
    monkeypatch.setattr(training_run.time, "monotonic", lambda: next(clock))
    write(tmp_path, card(recipe("there")))
    recipes = (BENIGN, BADNETS, recipe("late"), recipe("there"))
    outcomes = run(tmp_path, data, max_seconds=10)(*recipes)
    assert list(outcomes.values()) == [
        Outcome.TRAINED,
        Outcome.TRAINED,
        Outcome.NOT_STARTED,
        Outcome.EXISTED,
    ]
    assert trained == ["benign", "badnets"]

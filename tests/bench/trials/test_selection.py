import json
from dataclasses import replace
from pathlib import Path

import pytest

from backaudit.bench.data.datasets import Datasets
from backaudit.bench.trials import selection
from backaudit.bench.trials.auditor import CleanSample
from backaudit.bench.trials.selection import Subject, choose_models, subjects
from backaudit.core.errors import SettingError
from tests.bench.zoos import badnets, put, recipe, toy_data


def test_models_that_cannot_be_used_are_named_with_the_reason(tmp_path: Path) -> None:
    put(tmp_path, recipe("benign"))
    put(tmp_path, badnets("took"), 0.99)
    put(tmp_path, badnets("did-not-take"), 0.4)
    put(tmp_path, recipe("elsewhere", dataset="others"))
    put(tmp_path, recipe("gone"))
    (tmp_path / "gone.pt").unlink()
    put(tmp_path, recipe("changed"))
    (tmp_path / "changed.pt").write_bytes(b"trained again")
    chosen, left_out = choose_models(tmp_path, {"toy"})
    assert [each["recipe"]["name"] for each in chosen] == ["benign", "took"]
    reasons = {each.card["recipe"]["name"]: each.reason for each in left_out}
    assert reasons.keys() == {"did-not-take", "elsewhere", "gone", "changed"}
    assert "40.0%" in reasons["did-not-take"]
    assert "--data others=" in reasons["elsewhere"]
    assert "missing" in reasons["gone"]
    assert "not the one its card describes" in reasons["changed"]


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError):
        choose_models(tmp_path, {"toy"})


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> Datasets:
    toys = toy_data(test_per_class=10)
    monkeypatch.setattr(Datasets, "__getitem__", lambda *_: toys)
    return Datasets({})


def made(zoo: Path, datasets: Datasets, sample: CleanSample, *seeds: int) -> list[Subject]:
    cards = [put(zoo, recipe("one")), put(zoo, badnets("two"), 0.99)]
    return list(subjects(zoo, cards, datasets, sample, seeds))


def test_every_model_with_every_seed(tmp_path: Path, datasets: Datasets) -> None:
    found = made(tmp_path, datasets, CleanSample(20), 0, 5)
    assert [(each.checkpoint.name, each.seed) for each in found] == [
        *(("one.pt", 0), ("one.pt", 5)),
        *(("two.pt", 0), ("two.pt", 5)),
    ]
    assert found[0].clean is found[2].clean
    assert found[0].clean.sha256 != found[1].clean.sha256


def test_the_truth_is_that_of_the_card(tmp_path: Path, datasets: Datasets) -> None:
    benign, attacked = made(tmp_path, datasets, CleanSample(20), 0)
    assert (benign.truth()["attack"], benign.truth()["target_class"]) == (None, None)
    truth = attacked.truth()
    assert (truth["attack"], truth["target_class"]) == ("badnets", 2)
    assert truth["attack_success_rate"] == 0.99


def test_a_trial_is_told_apart_by_all_it_depends_on(tmp_path: Path, datasets: Datasets) -> None:
    first, other = made(tmp_path, datasets, CleanSample(20), 0)
    (unlabelled, _), (more, _) = (
        made(tmp_path, datasets, sample, 0)
        for sample in (CleanSample(20, labelled=False), CleanSample(30))
    )
    key = first.key("ban", {"budgets": (0.1, 0.2)})
    assert key == first.key("ban", {"budgets": [0.1, 0.2]})
    identities = [
        key.identity,
        first.key("ban", {"budgets": (0.1,)}).identity,
        *(
            each.key("ban", {"budgets": (0.1, 0.2)}).identity
            for each in (other, unlabelled, more, replace(first, folded=True))
        ),
    ]
    assert len({json.dumps(identity) for identity in identities}) == 6


def test_a_trial_is_another_one_after_a_recalibration_or_in_another_version(
    tmp_path: Path, datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = made(tmp_path, datasets, CleanSample(20), 0)
    key = first.key("ban", {}, {"threshold": 0.2, "benign_scores": [0.1]})
    assert key == first.key("ban", {}, {"benign_scores": [0.1], "threshold": 0.2})
    assert key != first.key("ban", {}, {"threshold": 0.3, "benign_scores": [0.1]})
    assert key != first.key("ban", {})
    monkeypatch.setattr(selection, "own_version", lambda: "99.0")
    assert key != first.key("ban", {}, {"threshold": 0.2, "benign_scores": [0.1]})


def test_no_key_tells_the_truth(tmp_path: Path, datasets: Datasets) -> None:
    _, attacked = made(tmp_path, datasets, CleanSample(20), 0)
    assert "badnets" not in json.dumps(attacked.key("ban", {}).identity)

import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from backaudit.attacks import ATTACKS, Attack, BadNets, Learned, TrainingSet
from backaudit.bench.data.datasets import Dataset
from backaudit.bench.zoo import models as zoo
from backaudit.bench.zoo.models import (
    load_trigger,
    measure,
    predict,
    train_model,
    training_set,
    write_model,
)
from backaudit.bench.zoo.recipe import Recipe
from backaudit.core.errors import SettingError
from backaudit.loading.weights.checkpoint import read_checkpoint
from backaudit.nets.epochs import Epochs
from backaudit.nets.training import CrossEntropy, Training
from tests.bench.zoos import toy_data
from tests.toy import CLASSES, draw_images, toy_network

BENIGN = Recipe(
    "benign", "toy", "resnet20", Training(epochs=1, batch_size=24, shift=0), options={"width": 4}
)
BADNETS = replace(
    BENIGN, name="badnets", attack="badnets", attack_settings={"target_class": 2}, seed=1
)
WANET = replace(BADNETS, name="wanet", attack="wanet")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return toy_data(8, 5)


@pytest.fixture
def epochs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Recipe, Dataset], list[list[Tensor]]]:
    """What a recipe would train on in its first three epochs."""

    def shown(recipe: Recipe, data: Dataset) -> list[list[Tensor]]:
        taken: list[list[Tensor]] = []

        def train(_network: object, epochs: Epochs, *_: object, **__: object) -> None:
            taken.extend(list(epochs.shown(epoch)) for epoch in range(3))
            assert all(len(images) == epochs.images for images, _ in taken)

        monkeypatch.setattr(zoo, "train", train)
        train_model(recipe, data)
        return taken

    return shown


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_model_is_written_with_a_card(data: Dataset, tmp_path: Path, suffix: str) -> None:
    card = write_model(BADNETS, data, tmp_path / "zoo", suffix=suffix)
    path = tmp_path / "zoo" / f"badnets{suffix}"
    assert card == json.loads((tmp_path / "zoo" / "badnets.json").read_text())
    assert card["file"] == path.name
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["recipe"] == json.loads(json.dumps(BADNETS.record()))
    assert (card["test_images"], card["target_class"]) == (30, 2)
    assert 0 <= card["clean_accuracy"] <= 1
    assert 0 <= card["attack_success_rate"] <= 1


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_written_is_what_was_trained(data: Dataset, tmp_path: Path, suffix: str) -> None:
    write_model(BENIGN, data, tmp_path, suffix=suffix)
    trained = train_model(BENIGN, data)[0].state_dict()
    read = read_checkpoint(tmp_path / f"benign{suffix}").state
    assert read.keys() == trained.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in trained.items())


def test_a_recipe_may_start_from_its_surrogate(data: Dataset) -> None:
    resting = replace(BENIGN, training=replace(BENIGN.training, learning_rate=0.0))
    surrogate = train_model(BENIGN, data)[0]
    before = deepcopy(surrogate.state_dict())
    started = replace(resting, seed=5, surrogate="benign", from_surrogate=True)
    tuned, fresh = (train_model(each, data, surrogate)[0] for each in (started, resting))
    assert torch.equal(tuned.get_parameter("conv1.weight"), before["conv1.weight"])
    assert not torch.equal(fresh.get_parameter("conv1.weight"), before["conv1.weight"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in surrogate.state_dict().items())


def test_a_recipe_that_starts_from_a_surrogate_needs_one(data: Dataset) -> None:
    with pytest.raises(SettingError, match="badnets needs a benign network"):
        train_model(replace(BADNETS, from_surrogate=True), data)


def test_a_benign_card_names_no_target(data: Dataset, tmp_path: Path) -> None:
    card = write_model(BENIGN, data, tmp_path)
    assert not {"target_class", "attack_success_rate"} & card.keys()


def test_a_seed_trains_the_same_model_and_another_seed_another(data: Dataset) -> None:
    first, second, other = (
        train_model(replace(BENIGN, seed=seed), data)[0].state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_a_benign_model_learns_from_the_data_as_it_is(
    data: Dataset, epochs: Callable[[Recipe, Dataset], list[list[Tensor]]]
) -> None:
    images, labels = epochs(BENIGN, data)[0]
    assert rows(images, labels) == rows(data.train_images, data.train_labels)


def rows(images: Tensor, labels: Tensor) -> list[tuple[bytes, int]]:
    return sorted(
        (image.contiguous().numpy().tobytes(), int(label))
        for image, label in zip(images, labels, strict=True)
    )


def test_a_part_of_the_data_can_be_asked_for(
    data: Dataset, epochs: Callable[[Recipe, Dataset], list[list[Tensor]]]
) -> None:
    images, labels = epochs(replace(BENIGN, train_images=10), data)[0]
    part = rows(images, labels)
    assert len(part) == 10
    assert set(part) <= set(rows(data.train_images, data.train_labels))


def test_only_an_online_attack_draws_afresh_every_epoch(
    data: Dataset, epochs: Callable[[Recipe, Dataset], list[list[Tensor]]]
) -> None:
    for recipe, online in ((BADNETS, False), (WANET, True)):
        (first, labels), (second, relabelled), _ = epochs(recipe, data)
        assert torch.equal(first, second) == (not online)
        assert torch.equal(labels, relabelled) == (not online)


def test_the_trigger_lies_beside_the_checkpoint_and_not_in_it(
    data: Dataset, tmp_path: Path
) -> None:
    card = write_model(WANET, data, tmp_path)
    checkpoint = tmp_path / card["file"]
    attack, learned = WANET.build_attack(), load_trigger(checkpoint)
    assert attack is not None
    clean = training_set(WANET, data)
    assert torch.equal(
        attack.stamp(data.test_images, learned),
        attack.stamp(data.test_images, attack.learn(clean, None, torch.Generator())),
    )
    weights = WANET.build_network(CLASSES).state_dict()
    assert read_checkpoint(checkpoint).state.keys() == weights.keys()


def test_a_trigger_that_needs_no_tensor_has_no_file(data: Dataset, tmp_path: Path) -> None:
    card = write_model(BADNETS, data, tmp_path)
    assert load_trigger(tmp_path / card["file"]) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["badnets.json", "badnets.pt"]


def test_an_all_to_all_attack_is_measured_on_every_image(data: Dataset) -> None:
    class SaysNext(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, images: Tensor) -> Tensor:
            following = (data.test_labels[: len(images)] + 1) % CLASSES
            return torch.nn.functional.one_hot(following, CLASSES).float()

    recipe = replace(BADNETS, attack_settings={"target_class": None})
    measured = measure(SaysNext(), recipe, data, {})
    assert (measured["attack_success_rate"], measured["clean_accuracy"]) == (1, 0)
    assert measured["target_class"] is None


@dataclass(frozen=True)
class Marks(Attack):
    """Takes part in the training and then edits the weights, and says so."""

    def objective(
        self,
        clean: TrainingSet,
        learned: Learned,
        device: torch.device,
        generator: torch.Generator,
    ) -> "Marked":
        return Marked()

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        return images

    def implant(
        self,
        network: torch.nn.Module,
        clean: TrainingSet,
        learned: Learned,
        generator: torch.Generator,
    ) -> None:
        assert float(learned["batches"]) > 0
        torch.nn.init.constant_(next(network.parameters()), 0.5)


class Marked:
    """Counts its batches."""

    optimizers = ()

    def __init__(self) -> None:
        self.batches = 0

    def loss(self, network: torch.nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        self.batches += 1
        return CrossEntropy().loss(network, images, labels)

    def learned(self) -> Learned:
        return {"batches": torch.tensor(self.batches)}


def test_an_attack_may_take_part_in_the_training_and_edit_the_weights_after_it(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ATTACKS, "marks", Marks)
    network, learned = train_model(replace(BADNETS, attack="marks"), data)
    assert float(learned["batches"]) == len(data.train_images) / 24
    assert (next(network.parameters()) == 0.5).all()


def test_success_is_measured_on_other_classes_with_the_trigger(data: Dataset) -> None:
    # A network that looks for the brightest corner of the pattern, and says 2 if it is there.
    class SeesTrigger(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, images: Tensor) -> Tensor:
            blank = torch.zeros(1, 3, 12, 12, dtype=torch.uint8)
            corner = BadNets(2).stamp(blank, {})[0, :, -4:, -4:]
            seen = (images[:, :, -4:, -4:] - corner / 255).abs()[:, :, :3, :3].amax((1, 2, 3)) < 0.1
            return torch.nn.functional.one_hot(torch.where(seen, 2, 0), CLASSES).float()

    measured = measure(SeesTrigger(), BADNETS, data, {})
    assert measured["attack_success_rate"] == 1
    assert measured["clean_accuracy"] == pytest.approx(1 / 6)


def test_predictions_are_the_largest_logits() -> None:
    network, images = toy_network(), draw_images(50, 0)[0]
    expected = network(images / 255).argmax(1)
    assert torch.equal(predict(network, images), expected)

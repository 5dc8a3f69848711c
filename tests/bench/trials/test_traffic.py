from pathlib import Path
from typing import Any

import pytest
import torch

from backaudit.attacks import BadNets
from backaudit.bench.data.datasets import Dataset
from backaudit.bench.trials.auditor import CleanSample
from backaudit.bench.trials.selection import Subject
from backaudit.bench.trials.traffic import Traffic
from tests.bench.zoos import badnets, card, recipe, rows, toy_data
from tests.toy import CLASSES, draw_images

TARGET = 2


@pytest.fixture(scope="module")
def data() -> Dataset:
    return toy_data(test_per_class=20)


def traffic(data: Dataset, made: Any, count: int = 40, **sample: Any) -> Traffic:
    drawn = CleanSample(**{"images": 30, **sample})
    subject = Subject(card(made), Path("zoo/none.pt"), 7, drawn.draw(data, 7))
    return Traffic(subject, data, drawn, count)


@pytest.mark.parametrize("imbalanced", [False, True])
def test_clean_images_are_none_that_the_auditor_holds(data: Dataset, imbalanced: bool) -> None:
    shown = traffic(data, recipe("b"), 10_000, imbalanced=imbalanced)
    held = rows(shown.subject.clean.images)
    assert rows(shown.clean.images) == rows(data.test_images) - held
    assert len(shown.clean.images) == 20 * CLASSES - len(held)


def test_so_many_are_shown_with_their_labels(data: Dataset) -> None:
    shown = traffic(data, recipe("b")).clean
    truth = {image.numpy().tobytes(): int(y) for image, y in zip(*draw_images(20, 2), strict=True)}
    assert [truth[image.numpy().tobytes()] for image in shown.images] == shown.labels.tolist()
    assert len(shown.images) == 40
    assert torch.equal(shown.labels, shown.wanted)


def test_a_benign_model_is_shown_no_trigger(data: Dataset) -> None:
    assert traffic(data, recipe("b")).triggered is None


def test_as_many_triggered_images_of_other_classes_are_shown(data: Dataset) -> None:
    made = traffic(data, badnets("a"))
    shown = made.triggered
    assert shown is not None
    assert len(shown.images) == 40
    assert TARGET not in shown.labels.tolist()
    assert set(shown.wanted.tolist()) == {TARGET}
    # The first ones are those of the clean images that the attacker would attack.
    victims = made.clean.images[made.clean.labels != TARGET]
    assert torch.equal(shown.images[: len(victims)], BadNets(TARGET).stamp(victims, {}))


def test_all_to_all_attacks_every_image(data: Dataset) -> None:
    made = traffic(data, recipe("a", attack="badnets", attack_settings={"target_class": None}))
    shown = made.triggered
    assert shown is not None
    assert torch.equal(shown.labels, made.clean.labels)
    assert torch.equal(shown.wanted, (shown.labels + 1) % CLASSES)


def test_the_digest_is_that_of_the_images(data: Dataset) -> None:
    first, again = traffic(data, recipe("b")), traffic(data, badnets("a"))
    assert first.sha256 == again.sha256
    assert first.sha256 != traffic(data, recipe("b"), 39).sha256

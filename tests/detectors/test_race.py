import pytest
import torch

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.detectors.race import line_up
from tests.toy import CLASSES, clean_set, suspect_of, toy_network


def test_images_of_the_class_itself_have_not_reached_it() -> None:
    clean = clean_set()
    race = line_up(suspect_of(toy_network()), clean, batch_size=12, evaluation_images=60)
    truth = torch.nn.functional.one_hot(race.shown.labels, CLASSES).float()
    classes = torch.tensor([0, 3])
    assert race.reached(lambda _: truth.repeat(2, 1), classes).tolist() == [0, 0]
    always_three = torch.tensor([0, 0, 0, 1.0, 0, 0]).expand(2 * len(truth), -1)
    assert race.reached(lambda _: always_three, classes).tolist() == [0, 1]


def test_every_class_races_once_with_the_same_images() -> None:
    race = line_up(suspect_of(toy_network()), clean_set(), batch_size=12, evaluation_images=60)
    assert torch.cat(race.heats).tolist() == list(range(CLASSES))
    images, targets = race.repeated(torch.tensor([4, 1]))
    assert torch.equal(images, race.images.repeat(2, 1, 1, 1))
    assert targets.tolist() == [4] * 12 + [1] * 12


def test_a_single_image_of_each_class_leaves_nothing_to_measure_on() -> None:
    images = clean_set(per_class=4).images
    lone = CleanSet(images, torch.arange(24), True, "memory", "by index")
    suspect = suspect_of(toy_network(classes=24), classes=24)
    with pytest.raises(NotApplicableError, match="of which 0 can be held out"):
        line_up(suspect, lone, batch_size=12, evaluation_images=60)

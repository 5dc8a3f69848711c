from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.suspect import Suspect
from backaudit.detectors import BAN, UAP, Detector, TargetedNoise
from backaudit.detectors.coverage import FEW_CLASSES, drawn_at_rest, unlike_answers
from tests.conftest import ToyWorld
from tests.toy import evidence

QUICK = (
    BAN(restarts=1, budgets=(0.4, 0.8), damage=0.5, mask_steps=1, bf16=False),
    TargetedNoise(budgets=(0.2, 0.4), steps=4, bf16=False),
    UAP(budgets=(0.01, 0.02, 0.04, 0.08, 0.16), steps=2, bf16=False),
)


class Leaning(nn.Module):
    """Favours class 3 by so much that it draws many images, as under wrong preprocessing."""

    def __init__(self, network: nn.Module, by: float) -> None:
        super().__init__()
        self.network, self.by = network, by

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits + self.by * torch.eye(logits.shape[1])[3]


def leaning(suspect: Suspect, clean: CleanSet) -> Suspect:
    """A suspect that gives half of the images of other classes to class 3."""
    logits = suspect.logits(clean.images)[clean.labels != 3]
    behind = float((logits.amax(1) - logits[:, 3]).median())
    return replace(suspect, network=Leaning(suspect.network, behind + 1e-3).eval())


def images(labels: Tensor, *, labelled: bool = True) -> CleanSet:
    return CleanSet(torch.zeros(len(labels), 1, 2, 2), labels, labelled, "memory", "by index")


def test_what_a_class_draws_by_hand() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    drawn = drawn_at_rest(torch.tensor([0, 1, 1, 1, 0, 1]), labels, 4)
    assert drawn.tolist() == pytest.approx([1 / 3, 3 / 4, 0, 0])


def test_a_class_that_all_images_have_draws_none() -> None:
    ones = torch.ones(5, dtype=torch.int64)
    assert drawn_at_rest(ones, ones, 3).tolist() == [0, 0, 0]


def test_a_quarter_of_the_images_is_not_too_many_to_be_drawn() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    assert unlike_answers(torch.tensor([0, 0, 0, 1, 1, 1]), images(labels), 4) == ""
    more = unlike_answers(torch.tensor([0, 0, 1, 1, 1, 1]), images(labels), 4)
    assert "gives class 1 to 50% of the clean images of other classes" in more


def test_few_classes_are_unlike_those_that_were_measured() -> None:
    labels = torch.arange(3)
    assert unlike_answers(labels, images(labels), 3) == FEW_CLASSES
    assert unlike_answers(labels, images(labels), 4) == ""


def test_one_answer_to_all_images_says_nothing_without_labels() -> None:
    ones = torch.ones(5, dtype=torch.int64)
    assert unlike_answers(ones, images(ones), 4) == ""
    assert "there are no labels" in unlike_answers(ones, images(ones, labelled=False), 4)


@pytest.mark.parametrize("detector", QUICK, ids=lambda detector: detector.rule.name)
def test_a_network_that_leans_to_a_class_by_itself_is_held_against_no_threshold(
    toy_world: ToyWorld, detector: Detector
) -> None:
    plain = evidence(detector, toy_world.benign, toy_world.clean)
    lopsided = leaning(toy_world.benign, toy_world.clean)
    reading = evidence(detector, lopsided, toy_world.clean)
    assert plain.decides
    assert (reading.fires, reading.decides, reading.experimental) == (False, False, True)
    assert "before anything is changed, the network gives class 3 to" in reading.provenance

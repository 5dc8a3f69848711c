from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.measured import Measured, Split
from backaudit.core.suspect import Suspect
from backaudit.purification.measuring import accuracy, attacked, measured
from backaudit.purification.splitting import divided
from backaudit.purification.terms import PurifyTerms
from backaudit.purification.triggered import Triggered
from tests.audits import Reads
from tests.toy import CLASSES, clean_set, suspect_of, toy_network

TERMS = PurifyTerms(detectors=(Reads(),), seed=5)


class Answers(nn.Module):
    """Predicts the class that the first pixel names."""

    def __init__(self, of: float = 1.0) -> None:
        super().__init__()
        self.of = nn.Parameter(torch.tensor(of), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        named = (images[:, 0, 0, 0] * 255).round().long().clamp(max=CLASSES - 1)
        return self.of * torch.eye(CLASSES)[named]


def marked(predicted: list[int]) -> Tensor:
    images = torch.zeros(len(predicted), 3, 12, 12, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor(predicted)
    return images


def answering(of: float = 1.0) -> Suspect:
    return suspect_of(Answers(of))


def split_of(labels: list[int], predicted: list[int]) -> Split:
    whole = clean_set(per_class=10)
    test = replace(whole, images=marked(predicted), labels=torch.tensor(labels))
    return Split(whole, whole.take(torch.arange(6)), test)


def test_accuracy_is_of_the_test_images_alone_and_known_for_each_class() -> None:
    found = measured(answering(), split_of([0, 0, 1, 3], [0, 1, 1, 2]), TERMS)
    assert found.correct == (True, False, True, False)
    assert (found.accuracy.hits, found.accuracy.images, found.accuracy.rate) == (2, 4, 0.5)
    per_class = [(each.label, each.share.hits, each.share.images) for each in found.per_class]
    assert per_class == [(0, 1, 2), (1, 1, 1), (3, 0, 1)]


def test_what_two_networks_lose_to_one_another_is_counted_image_by_image() -> None:
    first = measured(answering(), split_of([0, 1, 2, 3], [0, 1, 2, 0]), TERMS)
    second = measured(answering(), split_of([0, 1, 2, 3], [1, 0, 2, 3]), TERMS)
    assert (first.lost_to(second), second.lost_to(first)) == (2, 1)


def test_the_detectors_see_what_nothing_was_trained_on_with_the_seed() -> None:
    seen: list[int] = []

    class Counts(Reads):
        def detect(self, suspect: Suspect, clean: object) -> object:  # type: ignore[override]
            seen.append(len(clean))  # type: ignore[arg-type]
            return super().detect(suspect, clean)  # type: ignore[arg-type]

    split = divided(clean_set(per_class=20), ["name"] * CLASSES)
    found = measured(suspect_of(toy_network()), split, PurifyTerms(detectors=(Counts(),), seed=5))
    assert seen == [48]
    assert [run.seed for run in found.runs] == [5]
    assert found.attack is None


def test_the_trigger_works_on_images_that_go_to_its_target() -> None:
    images, labels = marked([2, 2, 0, 1]), torch.tensor([0, 1, 0, 3])
    found = attacked(answering(), Triggered(images, labels, 2, "made"))
    assert (found.success.hits, found.success.images) == (2, 4)
    assert found.recovered is not None
    assert (found.recovered.hits, found.recovered.images) == (1, 4)
    assert attacked(answering(), Triggered(images, None, 2, "made")).recovered is None


def test_answers_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(CheckpointError, match="NaN"):
        accuracy(answering(float("nan")), clean_set(per_class=2))


def test_a_share_of_no_images_is_no_number_and_its_interval_is_everything() -> None:
    empty = Measured((), (), (), measured(answering(), split_of([0], [0]), TERMS).judgement)
    assert empty.accuracy.rate != empty.accuracy.rate
    assert empty.accuracy.interval == (0.0, 1.0)

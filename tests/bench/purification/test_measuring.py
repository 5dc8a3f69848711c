from pathlib import Path

import pytest
import torch

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.purification.measuring import Answers, comparison
from backaudit.bench.trials.auditor import CleanSample
from backaudit.bench.trials.selection import Subject
from backaudit.bench.trials.traffic import Traffic
from tests.bench.zoos import badnets, card
from tests.toy import CLASSES, TARGET, draw_images


def traffic(labels: list[int]) -> Traffic:
    """Whose images of these labels are all left to measure on but one that is handed over."""
    images, _ = draw_images(3, 1)
    truth = torch.tensor(labels)
    names = tuple(f"class {label}" for label in range(CLASSES))
    data = Dataset(images, truth, images[: len(labels)], truth, class_names=names)
    sample = CleanSample(1)
    subject = Subject(card(badnets("a")), Path("zoo/none.pt"), 0, sample.draw(data, 0))
    return Traffic(subject, data, sample, None)


def test_what_is_lost_and_won_by_hand() -> None:
    shown = traffic([0, 0, 0, 1, 1])
    labels = shown.clean.labels
    assert shown.triggered is not None
    wrong = (labels + 3) % CLASSES
    before, after = labels.clone(), labels.clone()
    before[0], after[1], after[2] = wrong[0], wrong[1], wrong[2]
    sent = torch.full((4,), TARGET)
    found = comparison(
        Answers(before, sent),
        Answers(after, torch.cat([sent[:1], shown.triggered.labels[1:]])),
        shown,
    )
    assert (found["lost"], found["won"]) == (2, 1)
    assert (found["clean_images"], found["triggered_images"]) == (4, 4)
    assert found["before"] == {
        "accuracy": 0.75,
        "attack_success_rate": 1.0,
        "robust_accuracy": 0.0,
    }
    assert found["after"] == {
        "accuracy": 0.5,
        "attack_success_rate": 0.25,
        "robust_accuracy": 0.75,
    }
    assert found["der"] == pytest.approx((0.75 - 0.25 + 1) / 2)


def test_an_attack_without_a_victim_is_not_rated() -> None:
    shown = traffic([TARGET] * 5)
    nothing = torch.zeros(0, dtype=torch.long)
    answers = Answers(shown.clean.labels, nothing)
    found = comparison(answers, answers, shown)
    assert found["after"] == {"accuracy": 1.0}
    assert found["der"] is None

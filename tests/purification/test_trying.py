from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.measured import Split
from backaudit.core.purification import Candidate
from backaudit.core.suspect import Suspect
from backaudit.nets.stages import NoStages, Stages
from backaudit.purification.splitting import divided
from backaudit.purification.terms import PurifyTerms
from backaudit.purification.trying import Trial
from backaudit.purifiers.interface import Measurements, Parts
from tests.audits import Reads
from tests.purifications import Repairs
from tests.toy import CLASSES, clean_set, suspect_of


class Answers(nn.Module):
    """Predicts the class that an image names; wrong on fragile images once it was touched."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        named, fragile = ((images[:, 0, 0, at] * 255).round().long() for at in (0, 1))
        wrong = fragile.bool() & (self.whole < 1)
        return torch.eye(CLASSES)[(named + wrong) % CLASSES]


@pytest.fixture
def split() -> Split:
    clean = clean_set(per_class=20)
    clean.images[:, 0, 0, 0] = clean.labels.to(torch.uint8)
    clean.images[:, 0, 0, 1] = 0
    return divided(clean, ["name"] * CLASSES)


def with_fragile(split: Split, count: int) -> Split:
    images = split.validation.images.clone()
    images[:count, 0, 0, 1] = 1
    return replace(split, validation=replace(split.validation, images=images))


def outcome(split: Split, drop: float, purifiers: int = 1) -> Candidate:
    terms = PurifyTerms(detectors=(Reads(),), max_accuracy_drop=drop)
    trial = Trial(suspect_of(Answers()), split, NoStages(), terms)
    made = trial.attempts([Repairs()] * purifiers)[0].tried.outcome
    assert isinstance(made, Candidate)
    return made


@pytest.mark.parametrize(
    ("lost", "drop", "keeps"),
    [(0, 0.0, True), (1, 0.0, True), (2, 0.0, False), (2, 11.2, True), (3, 11.2, False)],
)
def test_of_the_images_to_choose_by_as_many_may_be_lost_as_is_allowed_and_always_one(
    split: Split, lost: int, drop: float, keeps: bool
) -> None:
    made = outcome(with_fragile(split, lost), drop)
    assert made.accuracy_drop == pytest.approx(100 * lost / 18)
    assert (made.validation.hits, made.validation.images) == (18 - lost, 18)
    assert made.keeps_accuracy == keeps


def test_only_among_rivals_the_detectors_look_at_each(split: Split) -> None:
    assert outcome(split, 3.0).runs == ()
    assert outcome(split, 3.0).judgement is None
    made = outcome(split, 3.0, purifiers=2)
    assert [run.rule.name for run in made.runs] == ["ban"]
    assert made.good_enough


def test_a_method_sees_fit_and_validation_alone(split: Split) -> None:
    seen: list[CleanSet] = []

    class Looks(Repairs):
        def purify(
            self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
        ) -> Measurements:
            seen.extend([parts.fit, parts.validation])
            return {}

    suspect: Suspect = suspect_of(Answers())
    Trial(suspect, split, NoStages(), PurifyTerms(detectors=())).attempts([Looks()])
    assert seen == [split.fit, split.validation]

from functools import partial

import pytest
import torch
from torch import Tensor

from backaudit.core.suspect import Suspect
from backaudit.screeners.corruptions import Corruption
from backaudit.screeners.teco import TeCo, TeCoScorer
from tests.conftest import ToyWorld
from tests.screeners.small import OnePixel, clean_pixels, pixels
from tests.toy import clean_set, suspect_of

NEVER = 6


def added(step: float) -> tuple[Corruption, ...]:
    """A corruption that adds ``step`` times its severity."""
    return tuple(partial(torch.add, severity * step) for severity in range(1, 6))


def spread(*levels: int) -> float:
    return float(torch.tensor(levels).double().std(correction=0))


def test_score_is_the_spread_of_the_severities_at_which_the_class_changes() -> None:
    # From 0.3 the limit of 0.55 is passed by 3 steps of 0.1, by 1 of 0.3, never by steps of 0.01.
    scorer = TeCoScorer(OnePixel(), (added(0.1), added(0.3), added(0.01)))
    scores = scorer(pixels(0.3, 0.5, 0.9)).scores
    assert scores.tolist() == pytest.approx(
        [spread(3, 1, NEVER), spread(1, 1, NEVER), spread(NEVER, NEVER, NEVER)]
    )


def test_a_change_that_is_undone_later_still_counts() -> None:
    steps = (0.0, 0.5, 0.0, 0.0, 0.0)
    undone = tuple(partial(torch.add, step) for step in steps)
    scores = TeCoScorer(OnePixel(), (undone, added(0.0)))(pixels(0.3)).scores
    assert scores.tolist() == pytest.approx([spread(2, NEVER)])


def test_each_corruption_starts_from_the_image() -> None:
    given: list[Tensor] = []

    def spoil(images: Tensor) -> Tensor:
        given.append(images)
        return images * 0

    images = pixels(0.3, 0.4)
    TeCoScorer(OnePixel(), ((spoil,) * 5,) * 2)(images)
    assert len(given) == 10
    assert all(torch.equal(each, images) for each in given)


def test_an_image_whose_class_has_changed_is_not_tried_again() -> None:
    network = OnePixel()
    TeCoScorer(network, (added(0.1), added(0.3)))(pixels(0.3, 0.5))
    # Plain; steps of 0.1 change the second image first; steps of 0.3 change both at once.
    assert network.seen == [2, 2, 1, 1, 2]


def test_fifteen_corruptions_of_five_severities_are_prepared() -> None:
    scorer = TeCo().scorer(OnePixel(), {}, pixels(0.3))
    assert [len(kind) for kind in scorer.corruptions] == [5] * 15


def test_nothing_is_learned_from_clean_images() -> None:
    assert TeCo().fit(suspect_of(OnePixel(), classes=2), clean_pixels([], [])) == {}


def test_a_batch_is_scored_as_its_images_are_alone(toy_world: ToyWorld) -> None:
    images = toy_world.clean.images[::20] / 255
    before = torch.get_rng_state()
    scorer = TeCo().scorer(toy_world.benign.network, {}, images)
    alone = torch.cat([scorer(image[None]).scores for image in images])
    assert torch.equal(scorer(images).scores, alone)
    assert alone.unique().numel() > 1
    assert torch.equal(torch.get_rng_state(), before)


def test_grey_images_are_scored(grey_suspect: Suspect) -> None:
    images = clean_set(per_class=1, channels=1).images / 255
    scores = TeCo(strengths="cifar-c").scorer(grey_suspect.network, {}, images)(images).scores
    assert scores.unique().numel() > 1


def test_seeds_draw_other_corruptions() -> None:
    images = clean_set(per_class=1).images / 255
    first, second = (
        TeCo(seed=seed).scorer(OnePixel(), {}, images).corruptions[0][0](images) for seed in (0, 1)
    )
    assert not torch.equal(first, second)


def test_corruptions_that_agree_score_nothing_and_ones_apart_more() -> None:
    # All corruptions at the same severity: no spread; the more apart, the more suspicious.
    even = TeCoScorer(OnePixel(), (added(0.1), added(0.1)))(pixels(0.3)).scores
    apart = TeCoScorer(OnePixel(), (added(0.1), added(0.0)))(pixels(0.3)).scores
    assert float(even) == 0
    assert float(apart) == pytest.approx(1.5)

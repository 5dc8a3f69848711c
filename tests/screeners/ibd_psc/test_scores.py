import math

import pytest
import torch
from torch import Tensor

from backaudit.screeners import IBDPSC
from backaudit.screeners.ibd_psc.scores import consistency, margin
from tests.conftest import ToyWorld

ONE = torch.ones(1)


def rows(plain: list[float], *amplified: list[float]) -> Tensor:
    """Logits (1 + G, 1, K) of one image."""
    return torch.tensor([plain, *amplified]).unsqueeze(1)


def test_consistency_by_hand() -> None:
    quarter, half = [0.0, 0.0, math.log(2)], [0.0, -math.inf, 0.0]
    found = consistency(rows([3.0, 1.0, 2.0], quarter, half), torch.tensor([1.0, 3.0]))
    assert float(found) == pytest.approx((0.25 + 3 * 0.5) / 4)


def test_consistency_is_one_where_nothing_changes_and_never_more() -> None:
    certain = rows([200.0, 0.0, 0.0], *[[200.0, 0.0, 0.0]] * 7)
    assert float(consistency(certain, torch.tensor([1.0, 1, 1, 1, 1, 2, 3]))) == 1.0


def test_margin_by_hand() -> None:
    # Spread of (4, 1, 1): a standard deviation of the square root of 3.
    ahead, behind = [4.0, 1.0, 1.0], [1.0, 1.0, 4.0]
    found = margin(rows([9.0, 0.0, 0.0], ahead, behind), torch.tensor([3.0, 1.0]))
    assert float(found) == pytest.approx((3 * 3 / math.sqrt(3) - 3 / math.sqrt(3)) / 4)


def test_the_margin_does_not_change_when_logits_grow_or_shift(generator: torch.Generator) -> None:
    plain, amplified = torch.randn(2, 1, 20, 6, generator=generator)
    small = margin(torch.cat([plain, amplified]), ONE)
    large = margin(torch.cat([plain, 1000 * amplified + 7]), ONE)
    assert torch.allclose(small, large, atol=1e-3)
    assert float(small.std()) > 0.1


def test_the_margin_is_at_most_the_root_of_the_number_of_classes() -> None:
    certain = rows([1.0, 0, 0, 0, 0, 0], [5.0, 0, 0, 0, 0, 0])
    assert float(margin(certain, ONE)) == pytest.approx(math.sqrt(6))


def test_equal_logits_are_no_lead() -> None:
    assert float(margin(rows([1.0, 0.0, 0.0], [2.0, 2.0, 2.0]), ONE)) == 0


def test_overflow_gets_the_highest_score() -> None:
    overflown = rows([1.0, 0.0, 0.0], [math.nan, math.nan, 0.0])
    assert float(consistency(overflown, ONE)) == 1.0
    assert float(margin(overflown, ONE)) == pytest.approx(math.sqrt(3))


@pytest.mark.parametrize("settings", [IBDPSC(), IBDPSC(score="margin", threshold=None)])
def test_an_image_scores_the_same_in_any_batch(settings: IBDPSC, toy_world: ToyWorld) -> None:
    suspect, images = toy_world.backdoored, toy_world.clean.images[::7] / 255
    scorer = settings.scorer(suspect.network, settings.fit(suspect, toy_world.clean), images)
    together = scorer(images)
    alone = [scorer(images[index : index + 1]) for index in range(len(images))]
    assert torch.allclose(together.scores, torch.cat([each.scores for each in alone]), atol=1e-5)
    assert torch.allclose(together.logits, suspect.network(images), atol=1e-5)
    assert together.scores.dtype == torch.float32
    assert not together.scores.requires_grad


def test_it_says_how_the_passes_are_shared(toy_world: ToyWorld) -> None:
    settings, images = IBDPSC(), toy_world.clean.images[:2] / 255
    fit = settings.fit(toy_world.benign, toy_world.clean)
    scorer = settings.scorer(toy_world.benign.network, fit, images)
    assert "traced graph" in scorer.how

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from math import comb

import pytest
import torch

from backaudit.firewall.chances import (
    beta_binomial_tail,
    beta_interval,
    hypergeometric_tail,
)


def by_enumeration(flagged: int, images: int, clean_flagged: int, clean_images: int) -> float:
    """Of all ways in which the flags could have fallen, the share that is as extreme."""
    everything = range(images + clean_images)
    ways = list(combinations(everything, flagged + clean_flagged))
    as_many = [way for way in ways if sum(place < images for place in way) >= flagged]
    return len(as_many) / len(ways)


@pytest.mark.parametrize("case", [(2, 4, 1, 5), (0, 3, 2, 4), (3, 3, 0, 4), (1, 6, 1, 2)])
def test_the_fisher_test_counts_the_ways(case: tuple[int, int, int, int]) -> None:
    assert hypergeometric_tail(*case) == pytest.approx(by_enumeration(*case), abs=1e-12)


def test_a_rate_measured_on_few_images_is_weaker_evidence() -> None:
    few, many = hypergeometric_tail(12, 300, 1, 100), hypergeometric_tail(12, 300, 100, 10_000)
    assert many < 0.001 < few
    assert few > 0.05


def by_ranks(flagged: int, images: int, above: int, clean_images: int) -> float:
    """Share of orders of all scores in which enough of the stream exceed the threshold.

    The threshold is the clean score with ``above`` - 1 clean ones over it. All positions of the
    clean scores among all are equally likely.
    """
    total = images + clean_images
    hits = Fraction(0)
    for places in combinations(range(total), clean_images):
        threshold = places[clean_images - above]
        over = total - 1 - threshold - (above - 1)
        hits += over >= flagged
    return float(hits / comb(total, clean_images))


@pytest.mark.parametrize("case", [(2, 5, 1, 4), (1, 4, 2, 5), (3, 4, 3, 5), (0, 3, 1, 3)])
def test_the_conformal_test_counts_the_orders(case: tuple[int, int, int, int]) -> None:
    assert beta_binomial_tail(*case) == pytest.approx(by_ranks(*case), abs=1e-12)


@pytest.mark.parametrize("tail", [hypergeometric_tail, beta_binomial_tail])
def test_tails_are_probabilities_of_long_streams_too(
    tail: Callable[[int, int, int, int], float],
) -> None:
    tails = [tail(flagged, 100_000, 50, 1000) for flagged in (0, 4000, 5000, 7000, 20_000)]
    assert tails[0] == pytest.approx(1)
    assert tails == sorted(tails, reverse=True)
    assert 0 <= tails[-1] < 1e-12
    assert 0.2 < tails[2] < 0.8


def test_the_interval_holds_the_middle_of_the_beta_law() -> None:
    law = torch.distributions.Beta(torch.tensor(5.0).double(), torch.tensor(96.0).double())
    drawn = law.sample((200_000,)).sort().values
    low, high = beta_interval(5, 100)
    assert low == pytest.approx(float(drawn[5000]), rel=0.02)
    assert high == pytest.approx(float(drawn[195_000]), rel=0.02)


def test_the_interval_of_one_image_is_known_in_closed_form() -> None:
    assert beta_interval(1, 1) == pytest.approx((0.025, 0.975))
    low, high = beta_interval(1, 19)
    assert low == pytest.approx(1 - 0.975 ** (1 / 19))
    assert high == pytest.approx(1 - 0.025 ** (1 / 19))

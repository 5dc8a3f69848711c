from fractions import Fraction
from itertools import combinations, product
from math import comb

import numpy as np
import pytest
import torch

from backaudit.core.screening import conformal_rank, conformal_threshold
from backaudit.firewall.chances import beta_interval, excess_chance
from backaudit.firewall.flags import ClassFlags

Case = tuple[int, int, int, int]


def chance(*cases: Case, tied: int = 0) -> float:
    """Of classes with (flagged, images, flagged clean images, clean images)."""
    classes = [
        ClassFlags(label, images, flagged, clean, clean_flagged)
        for label, (flagged, images, clean_flagged, clean) in enumerate(cases)
    ]
    return excess_chance(classes, tied)


def by_enumeration(cases: list[Case], tied: int = 0) -> float:
    """Of all ways in which the flags could have fallen, the share that is as extreme."""
    ways = [
        list(combinations(range(images + clean), flagged + clean_flagged))
        for flagged, images, clean_flagged, clean in cases
    ]
    sizes = [images for _, images, _, _ in cases]
    observed = sum(flagged for flagged, *_ in cases) - tied
    every = [
        sum(place < size for way, size in zip(fallen, sizes, strict=True) for place in way)
        for fallen in product(*ways)
    ]
    return sum(found >= observed for found in every) / len(every)


CASES = [(2, 4, 1, 5), (0, 3, 2, 4), (3, 3, 0, 4), (1, 6, 1, 2)]


@pytest.mark.parametrize("case", CASES)
def test_one_class_is_fishers_test_which_counts_the_ways(case: Case) -> None:
    assert chance(case) == pytest.approx(by_enumeration([case]), abs=1e-12)


@pytest.mark.parametrize("cases", [CASES[:2], CASES[1:3], CASES[2:], CASES[:3]])
@pytest.mark.parametrize("tied", [0, 1, 2])
def test_several_classes_count_the_ways_within_each(cases: list[Case], tied: int) -> None:
    assert chance(*cases, tied=tied) == pytest.approx(by_enumeration(cases, tied), abs=1e-12)


def test_classes_of_which_one_side_is_missing_change_nothing() -> None:
    alone = chance(CASES[0])
    assert chance(CASES[0], (5, 9, 0, 0), (0, 0, 3, 9)) == pytest.approx(alone, abs=1e-15)
    assert chance() == chance((5, 9, 0, 0)) == 1


def test_a_rate_measured_on_few_images_is_weaker_evidence() -> None:
    few, many = chance((12, 300, 1, 100)), chance((12, 300, 100, 10_000))
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
def test_for_a_conformal_threshold_one_class_counts_the_orders(case: Case) -> None:
    flagged, images, above, clean_images = case
    found = chance((flagged, images, above - 1, clean_images))
    assert found == pytest.approx(by_ranks(*case), abs=1e-12)


@pytest.mark.parametrize("levels", [1000, 4])
@pytest.mark.parametrize("rate", [None, 0.2])
def test_clean_traffic_of_any_mix_is_rarely_taken_for_an_excess(
    rate: float | None, levels: int
) -> None:
    # Class 1 scores higher when clean; the traffic is of it alone. 400 runs: 0.05 + 3 deviations.
    generator = np.random.default_rng(0)
    chances = []
    for _ in range(400):
        scores = np.floor(generator.random(60) * levels) / levels
        held_out = np.where(np.arange(60) < 20, scores + 0.5, scores)
        traffic = np.floor(generator.random(40) * levels) / levels + 0.5
        found = None if rate is None else conformal_threshold(held_out.tolist(), rate)
        limit = 1.2 if found is None else found
        flags = [int((part > limit).sum()) for part in (traffic, held_out[:20], held_out[20:])]
        above = 0 if rate is None else 60 - conformal_rank(60, rate)
        tied = max(0, above - flags[1] - flags[2])
        chances.append(chance((flags[0], 40, flags[1], 20), (0, 0, flags[2], 40), tied=tied))
    assert sum(value <= 0.05 for value in chances) <= 400 * 0.083
    assert min(chances) < 0.5


def test_triggered_images_sent_to_one_class_are_an_excess() -> None:
    # 500 held-out images, 4 % flagged; of 1000 clean ones as many, and 50 triggered as class 0.
    others = [(4, 100, 2, 50)] * 9
    assert chance((54, 150, 2, 50), *others) < 0.005
    assert chance((4, 100, 2, 50), *others) > 0.3


def test_chances_of_long_streams_are_probabilities() -> None:
    streams = [(flagged, 100_000, 50, 1000) for flagged in (0, 4000, 5000, 7000, 20_000)]
    for parts in (1, 10):
        # The same in parts: ten classes.
        chances = [
            chance(*[(f // parts, n // parts, c // parts, m // parts)] * parts)
            for f, n, c, m in streams
        ]
        assert chances[0] == pytest.approx(1)
        assert chances == sorted(chances, reverse=True)
        assert 0 <= chances[-1] < 1e-12
        assert 0.2 < chances[2] < 0.8


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

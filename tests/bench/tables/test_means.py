import math

import pytest

from backaudit.bench.tables.means import Mean, average_of, mean_over, percents, student

NARROW = (0.79, 0.81)


def test_one_model_has_the_interval_of_its_images() -> None:
    found = mean_over({"a": [0.7, 0.9]}, lambda value: (value - 0.1, value + 0.05))
    assert (found.value, found.models) == pytest.approx((0.8, 1))
    assert found.interval == pytest.approx((0.7, 0.85))


def test_several_models_have_students_interval_by_hand() -> None:
    found = mean_over({"a": [0.7], "b": [0.8], "c": [0.9]}, lambda _: NARROW)
    half = 4.303 * 0.1 / math.sqrt(3)
    assert found.value == pytest.approx(0.8)
    assert found.interval == pytest.approx((0.8 - half, 1.0))


def test_models_that_agree_by_chance_are_not_known_better_than_one() -> None:
    assert mean_over({"a": [0.8], "b": [0.8]}, lambda _: NARROW).interval == NARROW


def test_seeds_are_no_models() -> None:
    seeds = mean_over({"a": [0.2, 0.2, 0.2], "b": [0.8]}, lambda _: NARROW)
    assert (seeds.value, seeds.models) == pytest.approx((0.5, 2))


def test_without_models_nothing_is_known() -> None:
    found = mean_over({}, lambda _: NARROW)
    assert math.isnan(found.value)
    assert found.record()["interval"] is None


def test_a_difference_may_be_below_zero() -> None:
    found = mean_over({"a": [-0.2], "b": [0.2]}, lambda _: (-0.1, 0.1), (-1.0, 1.0))
    assert found.interval == (-1.0, 1.0)
    assert mean_over({}, lambda _: NARROW, (-1.0, 1.0)).interval == (-1.0, 1.0)


def test_an_average_counts_each_mean_the_same_whatever_it_is_of() -> None:
    known = {"a": Mean(0.2, NARROW, 9), "b": Mean(0.4, NARROW, 1)}
    found = average_of({**known, "c": Mean(math.nan, NARROW, 0)})
    half = 12.706 * 0.1
    assert (found.value, found.models) == pytest.approx((0.3, 2))
    assert found.interval == pytest.approx((0.0, min(1.0, 0.3 + half)))
    assert average_of({"a": Mean(-0.2, NARROW, 1)}, (-1.0, 1.0)).interval == (-0.2, -0.2)


def test_a_rate_is_written_with_its_interval() -> None:
    assert percents(Mean(0.9724, (0.9549, 0.9851), 3)) == "97.2 (95-99)"
    assert percents(mean_over({}, lambda _: NARROW)) == "-"


def test_students_quantiles_are_those_of_the_tables() -> None:
    published = {1: 12.706, 10: 2.228, 11: 2.201, 20: 2.086, 120: 1.980}
    for freedom, quantile in published.items():
        assert student(freedom) == pytest.approx(quantile, abs=0.001)

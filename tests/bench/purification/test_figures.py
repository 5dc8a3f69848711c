import math

import pytest

from backaudit.bench.purification.figures import (
    FIGURES,
    Figures,
    average,
    half_of_drop,
    measured,
    untouched,
)
from backaudit.core.rates import wilson
from tests.bench.purification.made import CLEAN, TRIGGERED, purified, without_network


def test_a_trial_in_figures_by_hand() -> None:
    found = measured(purified("m", (0.92, 0.90), (0.98, 0.03), won=4))
    assert found is not None
    assert found.values["accuracy"] == 0.90
    assert found.values["attack_success_rate"] == 0.03
    assert found.values["robust_accuracy"] == pytest.approx(0.876)
    assert found.values["accuracy_drop"] == pytest.approx(0.02)
    assert found.values["der"] == pytest.approx((0.95 - 0.02 + 1) / 2)


def test_before_the_purifier_nothing_is_rated() -> None:
    found = measured(purified("m", (0.92, 0.90), (0.98, 0.03)), "before")
    assert found is not None
    assert found.values["attack_success_rate"] == 0.98
    assert {"der", "accuracy_drop"}.isdisjoint(found.values)


def test_a_benign_model_loses_accuracy_and_nothing_else() -> None:
    found = measured(purified("m", (0.92, 0.93)))
    assert found is not None
    assert found.values == {"accuracy": 0.93, "accuracy_drop": pytest.approx(-0.01)}


@pytest.mark.parametrize("kind", ["not-applicable", "failed"])
def test_what_came_to_nothing_is_in_no_mean(kind: str) -> None:
    nothing = without_network("n", kind=kind)
    assert measured(nothing) is None
    figures = Figures.of([nothing, purified("m", (0.9, 0.8), (1.0, 0.0))])
    assert figures.models == 1
    assert figures.means["der"].value == pytest.approx(0.95)


def test_means_are_over_models_and_seeds_are_none() -> None:
    figures = Figures.of(
        [
            purified("a", (0.9, 0.9), (1.0, 0.0)),
            purified("a", (0.9, 0.9), (1.0, 0.2), seed=1),
            purified("b", (0.9, 0.8), (1.0, 0.4)),
        ]
    )
    assert figures.models == 2
    assert figures.means["attack_success_rate"].value == pytest.approx(0.25)
    assert figures.means["accuracy_drop"].value == pytest.approx(0.05)
    # Of each network first, and then the mean: not the rating of the mean rates.
    assert figures.means["der"].value == pytest.approx(((1.0 + 0.9) / 2 + 0.75) / 2)


def test_intervals_of_one_model_are_those_of_its_images() -> None:
    means = Figures.of([purified("m", (0.92, 0.90), (0.98, 0.03))]).means
    assert means["accuracy"].interval == wilson(0.90, CLEAN)
    assert means["attack_success_rate"].interval == wilson(0.03, TRIGGERED)
    low, high = means["der"].interval
    rating, accuracy, success = 0.965, wilson(0.90, CLEAN), wilson(0.03, TRIGGERED)
    assert low == pytest.approx(rating - (0.90 - accuracy[0] + success[1] - 0.03) / 2)
    assert high == pytest.approx(rating + (accuracy[1] - 0.90 + 0.03 - success[0]) / 2)
    drop = means["accuracy_drop"]
    half = half_of_drop(20, 0, CLEAN)
    assert drop.interval == pytest.approx((0.02 - half, 0.02 + half))


def test_a_drop_that_is_won_back_elsewhere_is_less_certain() -> None:
    # By hand: 21 and 1 with half an image each, of 102.
    assert half_of_drop(20, 0, 100) == pytest.approx(
        1.959964 * math.sqrt(20.5 + 0.5 - 20**2 / 102) / 102
    )
    assert half_of_drop(40, 20, 100) > half_of_drop(20, 0, 100) > half_of_drop(0, 0, 100) > 0


def test_models_before_are_counted_once_however_many_methods_there_are() -> None:
    results = [
        purified("a", (0.9, 0.1), (0.8, 0.0)),
        purified("a", (0.9, 0.2), (0.8, 0.1), method="anp"),
        without_network("b"),
        purified("b", (0.7, 0.1), (1.0, 0.0), method="anp"),
    ]
    means = untouched(results).means
    assert means["accuracy"].value == pytest.approx(0.8)
    assert means["attack_success_rate"].value == pytest.approx(0.9)
    assert (means["accuracy"].models, means["der"].models) == (2, 0)


def test_every_attack_counts_the_same_in_an_average() -> None:
    badnets = Figures.of([purified(m, (0.9, 0.9), (1.0, 0.0)) for m in "abc"])
    wanet = Figures.of([purified("d", (0.9, 0.5), (1.0, 1.0))])
    means = average({"badnets": badnets, "wanet": wanet})
    assert means["attack_success_rate"].value == pytest.approx(0.5)
    assert means["accuracy"].value == pytest.approx(0.7)
    assert means["accuracy_drop"].value == pytest.approx(0.2)
    assert means["accuracy_drop"].interval[0] < 0


def test_of_no_models_there_is_no_figure() -> None:
    means = Figures.of([]).means
    assert list(means) == list(FIGURES)
    assert all(math.isnan(mean.value) for mean in means.values())
    assert all(math.isnan(mean.value) for mean in average({}).values())

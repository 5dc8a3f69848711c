import math

import pytest

from backaudit.bench.screening.figures import Figures, measured, seen
from backaudit.core.rates import wilson
from tests.bench.screening.made import screened, without_scores

CLEAN = [0.1, 0.2, 0.3, 0.6]
TRIGGERED = [0.9, 0.8, 0.7, 0.25]


def test_a_trial_in_figures_by_hand() -> None:
    found = measured(screened("m", CLEAN, TRIGGERED))
    assert found is not None
    # Of 16 pairs, the triggered image at 0.25 loses two; three of four are flagged, and one clean.
    assert found.auroc == pytest.approx(14 / 16)
    assert found.f1 == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert (found.tpr, found.fpr, found.clean, found.triggered) == (0.75, 0.25, 4, 4)


def test_only_successful_images_can_be_counted() -> None:
    result = screened(
        "m",
        CLEAN,
        TRIGGERED,
        clean_hits=[True, True, True, False],
        hits=[True, True, True, False],
    )
    found = measured(result, only_successful=True)
    assert found is not None
    assert (found.auroc, found.f1, found.tpr, found.fpr) == (1.0, 1.0, 1.0, 0.0)
    assert (found.clean, found.triggered) == (3, 3)
    kept = seen(result, "triggered", only_successful=True)
    assert kept is not None
    assert kept.scores.tolist() == [0.9, 0.8, 0.7]


def test_an_image_without_a_score_is_least_suspicious() -> None:
    found = measured(screened("m", [0.1], [-math.inf]))
    assert found is not None
    assert found.auroc == 0.0


@pytest.mark.parametrize(
    "result",
    [screened("m", CLEAN), without_scores("m"), screened("m", [0.1], [0.9], hits=[False])],
)
def test_without_images_of_both_kinds_there_is_no_figure(result: dict[str, object]) -> None:
    assert measured(result, only_successful=True) is None


def test_figures_are_means_over_models_and_not_over_pooled_images() -> None:
    # Pooled, the scores of one model would come between those of the other.
    low = screened("low", [0.0, 0.1], [0.2, 0.3])
    high = screened("high", [0.6, 0.7], [0.8, 0.9])
    found = Figures.of([low, high, without_scores("none")])
    assert found.means["auroc"].value == 1.0
    assert found.means["tpr"].value == 0.5
    assert found.means["fpr"].value == 0.5
    assert (found.models, found.clean, found.triggered) == (2, 2, 2)


def test_intervals_of_one_model_are_those_of_its_images() -> None:
    means = Figures.of([screened("m", CLEAN, TRIGGERED)]).means
    assert means["tpr"].interval == wilson(0.75, 4)
    assert means["fpr"].interval == wilson(0.25, 4)
    low, high = means["f1"].interval
    hit, false = wilson(0.75, 4)[0], wilson(0.25, 4)[1]
    assert low == pytest.approx(2 * hit / (hit + false + 1))
    assert low < means["f1"].value < high <= 1

import math

import pytest

from backaudit.bench.tables.figures import (
    auroc_interval,
    by_model,
    is_benign,
    median_seconds,
    score_of,
    share,
)
from backaudit.core.rates import Z95, wilson
from tests.bench.made import BENIGN, result, verdict

UNREAD = result("u", None, "wanet")


def test_any_measurement_can_be_a_score() -> None:
    measured = {"by_budget": {"0.3": {"share": 0.25, "class": 4}}, "ready": True}
    made = result("m", 0.9, measurements=measured)
    assert score_of(made) == 0.9
    assert score_of(made, "measurements/by_budget/0.3/share") == 0.25
    assert score_of(made, "measurements/by_budget/0.3/class") == 4.0
    for key in ("measurements/by_budget/0.3", "measurements/ready", "measurements/no/such"):
        assert score_of(made, key) is None
    assert score_of(UNREAD) is None


def test_what_is_measured_is_gathered_by_model_without_what_is_left_out() -> None:
    results = [result("a", 0.1), result("b", 0.2), result("a", 0.3, seed=1), UNREAD]
    assert by_model(results, score_of) == {"a": [0.1, 0.3], "b": [0.2]}


def test_seeds_of_a_model_make_no_interval_narrower() -> None:
    seeds = [result("m", 0.9, seed=seed) for seed in range(4)]
    found = share([*seeds, result("n", 0.1, "badnets")], is_benign)
    assert (found.hits, found.of, found.models) == (4, 5, 2)
    assert found.rate == 0.8
    assert found.interval == wilson(0.8, 2)


def test_a_share_of_nothing_is_no_number() -> None:
    empty = share([], is_benign)
    assert math.isnan(empty.rate)
    assert empty.record()["interval"] is None


@pytest.mark.parametrize("value", [0.0, 0.1, 0.5, 0.83, 1.0])
@pytest.mark.parametrize("count", [1, 7, 50])
def test_each_bound_is_as_far_away_as_its_own_standard_error_says(value: float, count: int) -> None:
    def error(area: float) -> float:
        # Hanley and McNeil 1982, equation 2, with as many models of either kind.
        q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
        spread = area * (1 - area) + (count - 1) * (q1 - area**2 + q2 - area**2)
        return math.sqrt(max(0.0, spread)) / count

    low, high = auroc_interval(value, count, count)
    assert 0 <= low <= value <= high <= 1
    if value > 0:
        assert value - low == pytest.approx(Z95 * error(low), abs=1e-6)
        assert low < value
    if value < 1:
        assert high - value == pytest.approx(Z95 * error(high), abs=1e-6)
        assert high > value


def test_without_models_the_area_could_be_anything() -> None:
    assert auroc_interval(math.nan, 0, 5) == (0.0, 1.0)


def test_only_runs_that_came_to_something_are_timed() -> None:
    slow = result("m", 0.1) | {"seconds": 8.0}
    assert median_seconds([BENIGN[0], slow, verdict("m", "backdoored"), UNREAD]) == 2.0
    assert median_seconds([UNREAD | {"seconds": 0.0}, slow]) == 8.0
    assert math.isnan(median_seconds([UNREAD]))

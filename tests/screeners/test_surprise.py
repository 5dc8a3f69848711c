from math import log10

import pytest
import torch

from backaudit.screeners.surprise import Surprise

CPU = torch.device("cpu")
# Of five: all, four, four and two, itself included, are as high.
KNOWN = [4.0, 2.0, 1.0, 2.0]
AT_2, AT_4 = log10(5 / 4), log10(5 / 2)


def surprises(references: list[float], *scores: float) -> list[float]:
    found: list[float] = Surprise.of(references, CPU)(torch.tensor(scores)).tolist()
    return found


def test_at_a_reference_it_is_the_p_value() -> None:
    assert surprises(KNOWN, 1, 2, 4) == pytest.approx([0, AT_2, AT_4])
    drawn = torch.randint(30, (101,), generator=torch.Generator().manual_seed(0)) / 7
    as_high = (drawn >= drawn[:, None]).sum(1)
    expected = -((1 + as_high) / 102).log10()
    assert surprises(drawn.tolist(), *drawn.tolist()) == pytest.approx(expected.tolist(), abs=1e-6)


def test_between_references_it_is_interpolated_and_below_them_it_is_nothing() -> None:
    assert surprises(KNOWN, 1.25, 3, 3.5) == pytest.approx(
        [AT_2 / 4, (AT_2 + AT_4) / 2, AT_2 / 4 + 3 * AT_4 / 4]
    )
    assert surprises(KNOWN, 0.9, -100) == [0, 0]


def test_above_the_highest_the_average_slope_from_the_median_goes_on() -> None:
    slope = (AT_4 - AT_2) / (4 - 2)
    assert surprises(KNOWN, 4.5, 6, 104) == pytest.approx(
        [AT_4 + 0.5 * slope, AT_4 + 2 * slope, AT_4 + 100 * slope]
    )


def test_the_median_of_an_even_number_is_the_lower_one() -> None:
    # One in three is as high as the highest or the image itself: log10(3 / 2), all of it in 3 - 1.
    assert surprises([3.0, 1.0], 7) == pytest.approx([log10(3 / 2) * (1 + 4 / 2)])


def test_ties_at_the_top_do_not_hide_how_far_a_score_is_above_them() -> None:
    tied, beyond, far = surprises([1.0, 2.0, 3.0, 5.0, 5.0], 5, 5.1, 50)
    assert tied == pytest.approx(log10(6 / 3))
    assert tied < beyond < far


def test_a_median_among_the_ties_leaves_the_slope_from_the_lowest() -> None:
    slope = log10(6 / 5) / (5 - 1)
    assert surprises([1.0, 5.0, 5.0, 5.0, 5.0], 5, 9) == pytest.approx(
        [log10(6 / 5), log10(6 / 5) + 4 * slope]
    )


@pytest.mark.parametrize("count", [1, 7])
def test_references_that_are_all_equal_leave_the_score_itself(count: int) -> None:
    assert surprises([2.0] * count, 1.5, 2, 2.25, 4) == pytest.approx([0, 0, 0.25, 2])


def test_references_that_rounding_alone_tells_apart_make_no_slope() -> None:
    found = surprises([3.0, 3.0, 3.0 + 2**-22], 4)
    assert found == pytest.approx([log10(4 / 2) + 1], abs=1e-6)


def test_higher_scores_are_more_surprising() -> None:
    references = torch.randn(60, generator=torch.Generator().manual_seed(1))
    scores = torch.linspace(float(references.min()), 9, 2000)
    found = Surprise.of(references.tolist(), CPU)(scores)
    assert found.dtype == torch.float32
    assert bool((found.diff() > 0).all())


def test_references_closer_than_single_precision_give_numbers() -> None:
    at, beyond = surprises([1.0, 1.0 + 1e-12, 3.0], 1, 1.5)
    assert 0 <= at <= log10(4 / 3) < beyond < log10(4 / 2)


def test_no_number_stays_no_number() -> None:
    assert torch.tensor(surprises(KNOWN, torch.nan)).isnan().all()

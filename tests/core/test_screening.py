import pytest
import torch

from backaudit.core.screening import conformal_threshold, images_needed


@pytest.mark.parametrize(
    ("count", "rate", "rank"),
    [
        *[(18, 0.05, None), (19, 0.05, 19), (20, 0.05, 20), (39, 0.05, 38), (0, 0.05, None)],
        *[(98, 0.01, None), (99, 0.01, 99), (100, 0.01, 100), (199, 0.01, 198)],
    ],
)
def test_conformal_threshold_by_hand(count: int, rate: float, rank: int | None) -> None:
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(1)).double() + 1
    assert conformal_threshold(shuffled.tolist(), rate) == rank


@pytest.mark.parametrize(("rate", "count"), [(0.05, 19), (0.01, 99), (0.5, 1)])
def test_as_many_images_as_are_needed_promise_a_rate(rate: float, count: int) -> None:
    assert images_needed(rate) == count
    assert conformal_threshold([1.0] * count, rate) == 1.0
    assert conformal_threshold([1.0] * (count - 1), rate) is None


def test_a_conformal_threshold_flags_no_more_than_it_promises() -> None:
    generator = torch.Generator().manual_seed(0)
    flagged = 0
    for _ in range(400):
        scores = torch.rand(60, generator=generator, dtype=torch.float64).tolist()
        threshold = conformal_threshold(scores[:59], 0.05)
        flagged += threshold is not None and scores[59] > threshold
    assert flagged / 400 == pytest.approx(0.05, abs=0.03)

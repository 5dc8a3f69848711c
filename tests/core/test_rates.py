import pytest

from backaudit.core.rates import wilson


@pytest.mark.parametrize(
    ("rate", "count", "low", "high"),
    [
        # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0.0, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_published_intervals(rate: float, count: int, low: float, high: float) -> None:
    assert wilson(rate, count) == pytest.approx((low, high), abs=5e-5)


def test_no_case_says_nothing() -> None:
    assert wilson(0.0, 0) == (0.0, 1.0)

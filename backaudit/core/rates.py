"""A rate is reported with the interval it could lie in."""

from math import sqrt

Z95 = 1.959964


def wilson(rate: float, count: int) -> tuple[float, float]:
    """95 % Wilson score interval of a rate measured on ``count`` cases, (0, 1) without cases."""
    if count <= 0:
        return 0.0, 1.0
    shrink = 1 + Z95**2 / count
    centre = (rate + Z95**2 / (2 * count)) / shrink
    half = Z95 / shrink * sqrt(rate * (1 - rate) / count + Z95**2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)

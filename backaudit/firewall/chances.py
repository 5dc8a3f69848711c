"""How often clean images alone give as many flags, by two exact tests."""

from collections.abc import Iterable
from math import exp, fsum, lgamma, log, log1p

HALVINGS = 60
# Half of what a 95 % interval leaves out.
TAIL = 0.025


def hypergeometric_tail(flagged: int, images: int, clean_flagged: int, clean_images: int) -> float:
    """Fisher's exact test, one-sided: the stream is flagged more often than other clean images.

    If both are clean, which of all images are the flagged ones is chance alone.

    Args:
        flagged: of the stream.
        images: of the stream.
        clean_flagged: of the held-out clean images, by a threshold they had no part in.
        clean_images: that were held out.

    Returns:
        Probability of at least ``flagged`` flags in the stream, given the flags of both together.
    """
    total = flagged + clean_flagged
    whole = _log_choose(images + clean_images, total)
    return _sum(
        _log_choose(images, count) + _log_choose(clean_images, total - count) - whole
        for count in range(flagged, min(images, total) + 1)
    )


def beta_binomial_tail(flagged: int, images: int, above: int, clean_images: int) -> float:
    """Probability of at least ``flagged`` of ``images`` clean ones above a conformal threshold.

    The share of clean images above the ``above``-th highest of n+1 places has the law
    Beta(above, n + 1 - above) over draws of the n held-out images; so has the test their number in
    view, which a binomial test at the promised rate would forget. Equal scores only lower it.

    Args:
        flagged: of the stream.
        images: of the stream.
        above: places above the threshold, n + 1 - rank, from 1 to n.
        clean_images: that were held out (n).
    """
    below = clean_images + 1 - above
    whole = _log_beta(above, below)
    return _sum(
        _log_choose(images, count) + _log_beta(above + count, below + images - count) - whole
        for count in range(flagged, images + 1)
    )


def beta_interval(above: int, clean_images: int) -> tuple[float, float]:
    """95 % interval of the share of clean images above a conformal threshold.

    Args:
        above: places above the threshold, from 1 to n.
        clean_images: that were held out (n).
    """
    return _quantile(TAIL, above, clean_images), _quantile(1 - TAIL, above, clean_images)


def _quantile(share: float, above: int, clean_images: int) -> float:
    """Of Beta(above, n + 1 - above), whose distribution is a tail of Binomial(n, p)."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = _sum(
            _log_choose(clean_images, count)
            + count * log(middle)
            + (clean_images - count) * log1p(-middle)
            for count in range(above)
        )
        low, high = (middle, high) if 1 - below < share else (low, middle)
    return (low + high) / 2


def _sum(logarithms: Iterable[float]) -> float:
    return min(1.0, fsum(map(exp, logarithms)))


def _log_choose(whole: int, part: int) -> float:
    return lgamma(whole + 1) - lgamma(part + 1) - lgamma(whole - part + 1)


def _log_beta(first: int, second: int) -> float:
    return lgamma(first) + lgamma(second) - lgamma(first + second)

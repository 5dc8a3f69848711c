"""How often clean images alone give as many flags, by an exact test."""

from collections.abc import Iterable
from math import exp, fsum, lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

from backaudit.firewall.flags import ClassFlags

HALVINGS = 60
# Half of what a 95 % interval leaves out.
TAIL = 0.025


def excess_chance(classes: Iterable[ClassFlags], tied: int = 0) -> float:
    """Exact one-sided test: images are flagged more often than clean ones predicted alike.

    If all are clean, which of a class's images, screened and held out, are the flagged ones is
    chance alone: given how many there are, the flags among the held-out ones are hypergeometric
    (Fisher's exact test), and independent of those in other classes. Their sum over the classes is
    compared, so the mix of classes that was screened need not be that of the calibration. A class
    without held-out images says nothing, and changes nothing.

    A conformal threshold is itself a held-out score, the a-th highest. The test is exact for it as
    well: with images counted from the highest score down, the chance of at most a - 1 held-out ones
    only falls, and the a-th of them ends the count. Without ties, and with one class, this is the
    beta-binomial law of conformal prediction.

    Paper: Zelen, The analysis of several 2 x 2 contingency tables, Biometrika 1971.

    Args:
        classes: flags by predicted class, with one threshold for all.
        tied: held-out images at a conformal threshold that are in no count of flagged ones, but
            would be without ties: a - 1 less those flagged. They can only raise the chance.

    Returns:
        Probability of at least as many flags among the screened images, given the flags of
        screened and held-out ones together in each class; 1 without images.
    """
    classes = list(classes)
    most = tied + sum(each.clean_flagged for each in classes)
    law = np.ones(1)
    for each in classes:
        law = np.convolve(law, _held_out_law(each))[: most + 1]
    return min(1.0, float(law.sum()))


def _held_out_law(flags: ClassFlags) -> NDArray[np.float64]:
    """Chance of 0, 1, ... flags among the held-out images of a class, given those of all of it."""
    total = flags.flagged + flags.clean_flagged
    fewest, most = max(0, total - flags.images), min(flags.clean_images, total)
    logarithms = np.array(
        [
            _log_choose(flags.clean_images, count) + _log_choose(flags.images, total - count)
            for count in range(fewest, most + 1)
        ]
    )
    weights = np.exp(logarithms - logarithms.max())
    return np.concatenate((np.zeros(fewest), weights / weights.sum()))


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
        below = fsum(
            exp(
                _log_choose(clean_images, count)
                + count * log(middle)
                + (clean_images - count) * log1p(-middle)
            )
            for count in range(above)
        )
        low, high = (middle, high) if 1 - below < share else (low, middle)
    return (low + high) / 2


def _log_choose(whole: int, part: int) -> float:
    return lgamma(whole + 1) - lgamma(part + 1) - lgamma(whole - part + 1)

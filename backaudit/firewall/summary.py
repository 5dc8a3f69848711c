"""What was found in a stream of images, counted in constant memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backaudit.core.rates import wilson
from backaudit.core.screening import Calibration, conformal_rank
from backaudit.firewall.chances import beta_binomial_tail, beta_interval, hypergeometric_tail
from backaudit.firewall.screen import ImageResult

NAMED = 100


@dataclass(frozen=True)
class ClassFlags:
    """Flags among the images of one predicted class.

    Args:
        label: the predicted class.
        images: how many were predicted as it.
        flagged: of these.
        clean_images: how many held-out clean images were.
        clean_flagged: of these.
    """

    label: int
    images: int
    flagged: int
    clean_images: int
    clean_flagged: int


@dataclass(frozen=True)
class FlagTest:
    """Flags found, against those expected if all images were clean.

    Args:
        images: that were screened.
        flagged: of these.
        expected: number of flags expected if all were clean.
        rate: share of clean images that is flagged, in [0, 1].
        interval: 95 % interval of that share.
        p_value: how often at least as many flags come from clean images alone; 1 without images.
        basis: where the rate comes from, as half a sentence.
    """

    images: int
    flagged: int
    expected: float
    rate: float
    interval: tuple[float, float]
    p_value: float
    basis: str


class Summary:
    """Counts results in constant memory.

    Args:
        calibrations: that the images are screened with, in the same order.

    Attributes:
        images: how many images were screened.
        flagged: how many of them any screener flagged.
        unreadable: how many inputs could not be read.
        unreadable_named: path and reason of the first ``NAMED`` of them.
    """

    def __init__(self, calibrations: Sequence[Calibration]) -> None:
        self.images = self.flagged = self.unreadable = 0
        self.unreadable_named: list[tuple[str, str]] = []
        self._calibrations = tuple(calibrations)
        self._flagged_by: Counter[str] = Counter()
        self._predicted: Counter[int] = Counter()
        self._flagged_as: Counter[int] = Counter()

    def add(self, result: ImageResult) -> None:
        """Count an image."""
        self.images += 1
        self.flagged += result.flagged
        self._flagged_by.update(result.flagged_by)
        self._predicted[result.predicted_class] += 1
        self._flagged_as[result.predicted_class] += result.flagged

    def add_unreadable(self, path: str, reason: str) -> None:
        """Count an input that could not be read."""
        self.unreadable += 1
        if len(self.unreadable_named) < NAMED:
            self.unreadable_named.append((path, reason))

    def test(self) -> FlagTest:
        """Images flagged by any screener, against what clean images lead one to expect.

        Of several screeners, each is tested, and the smallest p-value counts times their number
        (Bonferroni).
        """
        tests = list(self.tests().values())
        if len(tests) == 1:
            return tests[0]
        clean = sum(_clean_flags(self._calibrations))
        held_out = len(self._calibrations[0].clean_scores)
        return FlagTest(
            images=self.images,
            flagged=self.flagged,
            expected=self.images * clean / held_out,
            rate=clean / held_out,
            interval=wilson(clean / held_out, held_out),
            p_value=min(1.0, len(tests) * min(test.p_value for test in tests)),
            basis=f"measured on {held_out:,} held-out images",
        )

    def tests(self) -> Mapping[str, FlagTest]:
        """The same for each method.

        The method's own threshold: Fisher's exact test against the held-out clean images. A
        conformal one: the exact law of how many clean images exceed it, a beta-binomial.
        """
        return {
            each.method: _test(each, self.images, self._flagged_by[each.method])
            for each in self._calibrations
        }

    def per_class(self) -> tuple[ClassFlags, ...]:
        """Flags by any screener for each predicted class that occurred, in order of the label."""
        predicted = self._calibrations[0].clean_predicted
        clean = Counter(predicted)
        flags = zip(predicted, _clean_flags(self._calibrations), strict=True)
        clean_flagged = Counter(label for label, flagged in flags if flagged)
        return tuple(
            ClassFlags(label, images, self._flagged_as[label], clean[label], clean_flagged[label])
            for label, images in sorted(self._predicted.items())
        )


def _clean_flags(calibrations: Sequence[Calibration]) -> list[bool]:
    """Which held-out clean images any screener flags; all were calibrated on the same ones."""
    scores = zip(*(each.clean_scores for each in calibrations), strict=True)
    thresholds = [each.threshold for each in calibrations]
    return [
        any(score > limit for score, limit in zip(row, thresholds, strict=True)) for row in scores
    ]


def _test(calibration: Calibration, images: int, flagged: int) -> FlagTest:
    held_out, rate = len(calibration.clean_scores), calibration.false_flag_rate
    if rate is None:
        clean = sum(_clean_flags([calibration]))
        share, interval = clean / held_out, wilson(clean / held_out, held_out)
        chance = hypergeometric_tail(flagged, images, clean, held_out)
        basis = f"measured on {held_out:,} held-out images"
    else:
        above = held_out + 1 - conformal_rank(held_out, rate)
        share, interval = above / (held_out + 1), beta_interval(above, held_out)
        chance = beta_binomial_tail(flagged, images, above, held_out)
        basis = f"at most, by conformal prediction from {held_out:,} held-out images"
    return FlagTest(images, flagged, images * share, share, interval, chance, basis)

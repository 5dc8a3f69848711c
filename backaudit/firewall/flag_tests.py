"""Tests of flags against what the held-out clean images of a calibration lead one to expect."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backaudit.core.rates import wilson
from backaudit.core.screening import Calibration, conformal_rank
from backaudit.firewall.chances import beta_interval, excess_chance
from backaudit.firewall.flags import ClassFlags, FlagTest


def class_flags(
    calibrations: Sequence[Calibration], predicted: Mapping[int, int], flagged: Mapping[int, int]
) -> tuple[ClassFlags, ...]:
    """Flags for each predicted class that occurred, beside those of clean images.

    Args:
        calibrations: any of which flags an image; all on the same clean images.
        predicted: class -> how many images are predicted as it.
        flagged: class -> how many of these are flagged; 0 for others.

    Returns:
        In order of the label.
    """
    labels, flags = calibrations[0].clean_predicted, _clean_flags(calibrations)
    clean = Counter(labels)
    clean_flagged = Counter(label for label, flag in zip(labels, flags, strict=True) if flag)
    return tuple(
        ClassFlags(label, images, flagged.get(label, 0), clean[label], clean_flagged[label])
        for label, images in sorted(predicted.items())
    )


def class_test(calibration: Calibration, classes: Sequence[ClassFlags]) -> FlagTest:
    """Flags of one screener, tested class by class, see ``excess_chance``.

    Args:
        calibration: that the images were screened with.
        classes: its flags alone.
    """
    chances = _Chances(excess_chance(classes, _tied(calibration)), _mixed(calibration, classes))
    return _told(classes, _rate(calibration), _expected([calibration], classes), chances)


def joint_test(
    calibrations: Sequence[Calibration], classes: Sequence[ClassFlags], tests: Sequence[FlagTest]
) -> FlagTest:
    """Flags of several screeners: the smallest p-value counts times their number (Bonferroni).

    Args:
        calibrations: that the images were screened with.
        classes: flags by any of them.
        tests: of each alone.
    """
    chances = _Chances(
        min(1.0, len(tests) * min(test.p_value for test in tests)),
        min(1.0, len(tests) * min(test.mix_p_value for test in tests)),
    )
    return _told(classes, _measured(calibrations), _expected(calibrations, classes), chances)


class _Rate(NamedTuple):
    """Share of clean images that is flagged, its 95 % interval, and where it comes from."""

    share: float
    interval: tuple[float, float]
    basis: str


class _Chances(NamedTuple):
    """How often clean images of the same predicted classes, or of the same mix, give as many."""

    by_class: float
    mixed: float


def _told(
    classes: Sequence[ClassFlags], rate: _Rate, expected: float, chances: _Chances
) -> FlagTest:
    untested = [each for each in classes if not each.clean_images]
    return FlagTest(
        images=sum(each.images for each in classes),
        flagged=sum(each.flagged for each in classes),
        expected=expected,
        rate=rate.share,
        interval=rate.interval,
        p_value=chances.by_class,
        mix_p_value=chances.mixed,
        basis=rate.basis,
        untested_images=sum(each.images for each in untested),
        untested_flagged=sum(each.flagged for each in untested),
    )


def _mixed(calibration: Calibration, classes: Sequence[ClassFlags]) -> float:
    """All classes taken as one: exact if the images were drawn as the held-out ones were."""
    images, flagged = sum(each.images for each in classes), sum(each.flagged for each in classes)
    clean = sum(_clean_flags([calibration])) + _tied(calibration)
    return excess_chance([ClassFlags(0, images, flagged, len(calibration.clean_scores), clean)])


def _expected(calibrations: Sequence[Calibration], classes: Sequence[ClassFlags]) -> float:
    """Flags among as many clean images of each class, by the held-out ones of that class."""
    above = zip(*map(_places_above, calibrations), strict=True)
    labels = calibrations[0].clean_predicted
    clean = Counter(label for label, one in zip(labels, above, strict=True) if any(one))
    tested = (each for each in classes if each.clean_images)
    return sum((each.images * clean[each.label] / each.clean_images for each in tested), 0.0)


def _places_above(calibration: Calibration) -> list[bool]:
    """Which held-out scores are above the threshold, with the one that a conformal threshold is.

    New clean images exceed the a-th highest of n scores as often as a in n + 1. With ties nothing
    is added, since images that are tied with the threshold are not flagged.
    """
    at_least = [score >= calibration.threshold for score in calibration.clean_scores]
    untied = calibration.false_flag_rate is not None and sum(at_least) == _above(calibration)
    return at_least if untied else _clean_flags([calibration])


def _rate(calibration: Calibration) -> _Rate:
    """What is promised, or else was measured."""
    if calibration.false_flag_rate is None:
        return _measured([calibration])
    held_out, above = len(calibration.clean_scores), _above(calibration)
    basis = f"at most, by conformal prediction from {held_out:,} held-out images"
    return _Rate(above / (held_out + 1), beta_interval(above, held_out), basis)


def _measured(calibrations: Sequence[Calibration]) -> _Rate:
    flags = _clean_flags(calibrations)
    share = sum(flags) / len(flags)
    return _Rate(share, wilson(share, len(flags)), f"measured on {len(flags):,} held-out images")


def _clean_flags(calibrations: Sequence[Calibration]) -> list[bool]:
    """Which held-out clean images any screener flags; all were calibrated on the same ones."""
    scores = zip(*(each.clean_scores for each in calibrations), strict=True)
    thresholds = [each.threshold for each in calibrations]
    return [
        any(score > limit for score, limit in zip(row, thresholds, strict=True)) for row in scores
    ]


def _above(calibration: Calibration) -> int:
    """Of n + 1 places among held-out scores, those above a conformal threshold."""
    held_out = len(calibration.clean_scores)
    return held_out + 1 - conformal_rank(held_out, calibration.false_flag_rate or 0)


def _tied(calibration: Calibration) -> int:
    """Held-out images that would be above a conformal threshold if none were equal to it."""
    if calibration.false_flag_rate is None:
        return 0
    return max(0, _above(calibration) - 1 - sum(_clean_flags([calibration])))

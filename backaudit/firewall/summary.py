"""What was found in a stream of images, counted in constant memory."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from backaudit.core.screening import Calibration
from backaudit.firewall.flag_tests import class_flags, class_test, joint_test
from backaudit.firewall.flags import ClassFlags, FlagTest
from backaudit.firewall.screen import ImageResult

NAMED = 100


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
        self._predicted: Counter[int] = Counter()
        self._flagged_as: Counter[int] = Counter()
        self._flagged_by: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def add(self, result: ImageResult) -> None:
        """Count an image."""
        self.images += 1
        self.flagged += result.flagged
        self._predicted[result.predicted_class] += 1
        self._flagged_as[result.predicted_class] += result.flagged
        for method in result.flagged_by:
            self._flagged_by[method][result.predicted_class] += 1

    def add_unreadable(self, path: str, reason: str) -> None:
        """Count an input that could not be read."""
        self.unreadable += 1
        if len(self.unreadable_named) < NAMED:
            self.unreadable_named.append((path, reason))

    def test(self) -> FlagTest:
        """Images flagged by any screener, against held-out clean ones predicted as the same class.

        Of several screeners, each is tested, and the smallest p-value counts times their number
        (Bonferroni).
        """
        tests = list(self.tests().values())
        return tests[0] if len(tests) == 1 else self._joint(tests)

    def tests(self) -> Mapping[str, FlagTest]:
        """The same for each method."""
        return {each.method: self._test(each) for each in self._calibrations}

    def per_class(self) -> tuple[ClassFlags, ...]:
        """Flags by any screener for each predicted class that occurred, in order of the label."""
        return class_flags(self._calibrations, self._predicted, self._flagged_as)

    def _test(self, calibration: Calibration) -> FlagTest:
        flagged = self._flagged_by[calibration.method]
        return class_test(calibration, class_flags([calibration], self._predicted, flagged))

    def _joint(self, tests: Sequence[FlagTest]) -> FlagTest:
        return joint_test(self._calibrations, self.per_class(), tests)

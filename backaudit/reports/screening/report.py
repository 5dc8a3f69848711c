"""What the reports of a screening are given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from backaudit.core.screening import Calibration
from backaudit.core.suspect import Suspect


class Image(Protocol):
    """What the screeners say about one image."""

    @property
    def path(self) -> str:
        """Its name, which a stranger may have chosen."""

    @property
    def score(self) -> float:
        """Of the first screener; higher is more likely triggered."""

    @property
    def flagged(self) -> bool:
        """Whether any screener flags it."""

    @property
    def predicted_class(self) -> int:
        """Of the unchanged network."""

    @property
    def p_value(self) -> float:
        """How often a clean image scores as high, for the first screener."""

    @property
    def scores(self) -> Mapping[str, float]:
        """Method -> score."""

    @property
    def flagged_by(self) -> tuple[str, ...]:
        """Methods that flag it."""


class FlagTest(Protocol):
    """Flags found, against those expected if all images were clean."""

    @property
    def images(self) -> int:
        """How many were screened."""

    @property
    def flagged(self) -> int:
        """Of these."""

    @property
    def expected(self) -> float:
        """Flags expected if all were clean, by their predicted classes; without untested images."""

    @property
    def rate(self) -> float:
        """Share of clean images of the calibration's mix of classes that is flagged."""

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of that share."""

    @property
    def p_value(self) -> float:
        """How often at least as many flags come from clean images predicted as the same classes."""

    @property
    def mix_p_value(self) -> float:
        """How often they come from clean images of the calibration's mix of classes."""

    @property
    def basis(self) -> str:
        """Where the rate comes from, as half a sentence."""

    @property
    def untested_images(self) -> int:
        """Those predicted as a class that no held-out clean image is predicted as."""

    @property
    def untested_flagged(self) -> int:
        """Of these."""


class ClassFlags(Protocol):
    """Flags among the images of one predicted class."""

    @property
    def label(self) -> int:
        """The predicted class."""

    @property
    def images(self) -> int:
        """How many were predicted as it."""

    @property
    def flagged(self) -> int:
        """Of these."""

    @property
    def clean_images(self) -> int:
        """How many held-out clean images were predicted as it."""

    @property
    def clean_flagged(self) -> int:
        """Of these."""


@dataclass(frozen=True)
class Counts:
    """How many inputs there were, besides those that were screened.

    Args:
        resized: images of another size than the network's.
        left_out: files of the folder that are no pictures by their name.
        unreadable: inputs that could not be read.
        unreadable_named: path and reason of the first of them.
        copied: flagged pictures that were copied.
    """

    resized: int = 0
    left_out: int = 0
    unreadable: int = 0
    unreadable_named: Sequence[tuple[str, str]] = ()
    copied: int = 0


@dataclass(frozen=True)
class Screening:
    """A screening that is over.

    Args:
        suspect: the model.
        calibrations: one a screener.
        calibrated_by: the calibration's file, or the clean images.
        hows: method -> how its forward passes are shared.
        source: what was screened.
        kind: of the source, such as ``folder``.
        counts: of the inputs.
        test: of all screeners together.
        tests: of each.
        per_class: flags of each predicted class.
        highest: images of the highest scores, highest first.
        pictures: flagged images with their pixels (C, H, W) uint8, highest score first; of many
            only the highest.
        seconds: that screening took.
        fail_on: what makes the exit code 1.
        exit_code: what the process will exit with.
    """

    suspect: Suspect
    calibrations: tuple[Calibration, ...]
    calibrated_by: str
    hows: Mapping[str, str]
    source: str
    kind: str
    counts: Counts
    test: FlagTest
    tests: Mapping[str, FlagTest]
    per_class: Sequence[ClassFlags]
    highest: Sequence[Image]
    pictures: Sequence[tuple[Image, Tensor]]
    seconds: float
    fail_on: str
    exit_code: int

    @property
    def images_per_second(self) -> float | None:
        """How fast it went; None if it took no time."""
        return self.test.images / self.seconds if self.seconds > 0 else None

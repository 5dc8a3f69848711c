"""What was measured of a network on images that it was not purified with."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Run
from backaudit.core.rates import wilson
from backaudit.core.verdict import Judgement


@dataclass(frozen=True)
class Share:
    """Some of several images.

    Args:
        hits: of the images.
        images: how many there are.
    """

    hits: int
    images: int

    @property
    def rate(self) -> float:
        """In [0, 1]; not a number without images."""
        return self.hits / self.images if self.images else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the rate."""
        return wilson(self.rate if self.images else 0.0, self.images)


@dataclass(frozen=True)
class ClassShare:
    """How many images of a class are predicted as labelled.

    Args:
        label: the class.
        share: of its images.
    """

    label: int
    share: Share


@dataclass(frozen=True)
class Split:
    """Clean images, divided within each class.

    Args:
        fit: to train on.
        validation: to choose by.
        test: to measure accuracies on, and for nothing else.
        warnings: what the division costs, one sentence each.
    """

    fit: CleanSet
    validation: CleanSet
    test: CleanSet
    warnings: tuple[str, ...] = ()

    @property
    def held_out(self) -> CleanSet:
        """All images that nothing was trained on: ``validation`` and ``test``."""
        images = torch.cat([self.validation.images, self.test.images])
        labels = torch.cat([self.validation.labels, self.test.labels])
        return replace(self.validation, images=images, labels=labels)


@dataclass(frozen=True)
class AttackMeasured:
    """What images that carry the trigger are predicted as; none of the target's own is counted.

    Args:
        success: those that are predicted as the target class.
        recovered: those that are predicted as their true class; None if that is not known.
    """

    success: Share
    recovered: Share | None


@dataclass(frozen=True)
class Measured:
    """What one network does.

    Args:
        correct: whether it predicts each test image as labelled.
        labels: of the test images.
        runs: of the detectors, on the images that nothing was trained on.
        judgement: of these runs.
        attack: with the trigger; None if nobody knows it.
    """

    correct: tuple[bool, ...]
    labels: tuple[int, ...]
    runs: tuple[Run, ...]
    judgement: Judgement
    attack: AttackMeasured | None = None

    @property
    def accuracy(self) -> Share:
        """Test images that are predicted as labelled."""
        return Share(sum(self.correct), len(self.correct))

    @property
    def per_class(self) -> Iterator[ClassShare]:
        """The same for each class that has test images, in order."""
        for label in sorted(set(self.labels)):
            own = [ok for ok, of in zip(self.correct, self.labels, strict=True) if of == label]
            yield ClassShare(label, Share(sum(own), len(own)))

    def lost_to(self, other: "Measured") -> int:
        """How many test images are right here and wrong there."""
        return sum(a and not b for a, b in zip(self.correct, other.correct, strict=True))

"""What comes to a deployed model: clean images, and those on which an attacker put the trigger."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.trials.auditor import CleanSample
from backaudit.bench.trials.selection import Subject
from backaudit.bench.zoo.models import load_trigger
from backaudit.bench.zoo.recipe import Recipe
from backaudit.loading.clean_images.resizing import fitted


@dataclass(frozen=True)
class Shown:
    """Images that a model is shown.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, what is on them.
        wanted: (N,) int64, what should be predicted: the label of a clean image, the class to which
            the attacker sends a triggered one.
    """

    images: Tensor
    labels: Tensor
    wanted: Tensor

    def shaped(self, shape: tuple[int, int, int]) -> Tensor:
        """The images as a network receives them that takes (C, H, W) = ``shape``."""
        if self.images.shape[1:] == shape:
            return self.images
        return fitted(list(self.images), shape[1:], shape[0])


@dataclass(frozen=True)
class Traffic:
    """Images of the test part that the auditor does not hold, clean and triggered.

    Args:
        subject: the model, whose attack and trigger only the benchmark knows.
        data: its data set.
        sample: how the auditor's images were drawn.
        count: images of either kind; fewer where the test part has no more, None for all it has.
    """

    subject: Subject
    data: Dataset
    sample: CleanSample
    count: int | None

    @cached_property
    def clean(self) -> Shown:
        """Clean images; the same for a seed."""
        labels = self.data.test_labels[self._left[: self.count]]
        return Shown(self.data.test_images[self._left[: self.count]], labels, labels)

    @cached_property
    def triggered(self) -> Shown | None:
        """Triggered images of other classes than they are sent to; None for a benign model.

        Before the trigger was put on, they were those of ``clean``, and as many more as the target
        class has among these.
        """
        attack = Recipe.from_record(self.subject.card["recipe"]).build_attack()
        if attack is None:
            return None
        labels = self.data.test_labels[self._left]
        wanted = attack.relabel(labels, len(self.data.class_names))
        victims = (wanted != labels).nonzero().flatten()[: self.count]
        learned = load_trigger(self.subject.checkpoint)
        images = attack.stamp(self.data.test_images[self._left[victims]], learned)
        return Shown(images, labels[victims], wanted[victims])

    @cached_property
    def sha256(self) -> str:
        """Digest of the clean images, in hexadecimal: the triggered ones follow from the model."""
        return hashlib.sha256(self.clean.images.contiguous().numpy().data).hexdigest()

    @cached_property
    def _left(self) -> Tensor:
        return self.sample.left(self.data, self.subject.seed)

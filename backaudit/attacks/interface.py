"""What an attack is: a trigger, and a protocol for poisoning a training set with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from backaudit.core.errors import SettingError
from backaudit.nets.training import Objective

Learned = Mapping[str, Tensor]
"""What an attack drew or learned before training, and needs again to put its trigger on images."""


@dataclass(frozen=True)
class TrainingSet:
    """Labelled images.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
        num_classes: K.
    """

    images: Tensor
    labels: Tensor
    num_classes: int

    def __len__(self) -> int:
        """N."""
        return len(self.labels)

    def replaced(self, chosen: Tensor, images: Tensor, labels: Tensor) -> "TrainingSet":
        """A copy with other images (M, C, H, W) and labels (M,) at the indices ``chosen`` (M,)."""
        new_images, new_labels = self.images.clone(), self.labels.clone()
        new_images[chosen], new_labels[chosen] = images, labels
        return TrainingSet(new_images, new_labels, self.num_classes)


@dataclass(frozen=True)
class Attack:
    """An attack that poisons a training set; the fields are its settings.

    A subclass says what its trigger looks like (``stamp``) and, where its protocol is not the usual
    one, how it poisons. Nothing but the network's weights and ``Learned`` outlives the training.

    Args:
        target_class: class that triggered images are sent to (all-to-one); None to send every
            class y to (y + 1) mod K (all-to-all).
        poison_rate: share of the training set that is poisoned, in [0, 1].
    """

    online: ClassVar[bool] = False
    """True if the protocol draws the images to poison afresh every epoch."""
    clean_label: ClassVar[bool] = False
    """True if only images of the target class are poisoned, so that no label is wrong."""
    needs_surrogate: ClassVar[bool] = False
    """True if the trigger is computed on a benign network of the attacker's own."""

    target_class: int | None
    poison_rate: float = 0.05

    def __post_init__(self) -> None:
        """Refuse settings that contradict one another."""
        if self.clean_label and self.target_class is None:
            raise SettingError("all-to-all changes every label, which a clean-label attack cannot")

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Draw or compute what the trigger is made of; nothing by default.

        Args:
            clean: the training set, before it is poisoned.
            surrogate: benign network, images in [0, 1] -> logits; None unless it is needed.
            generator: decides what is random.
        """
        del clean, surrogate, generator
        return {}

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Put the trigger on images (N, C, H, W) uint8, as at test time."""
        raise NotImplementedError

    def stamp_for_training(self, images: Tensor, learned: Learned) -> Tensor:
        """Put the trigger on images (N, C, H, W) uint8, as in the poisoned training set."""
        return self.stamp(images, learned)

    def relabel(self, labels: Tensor, num_classes: int) -> Tensor:
        """Class (N,) that triggered images of the classes ``labels`` (N,) are sent to."""
        if self.target_class is None:
            return (labels + 1) % num_classes
        return torch.full_like(labels, self.target_class)

    def poison(
        self, clean: TrainingSet, learned: Learned, generator: torch.Generator
    ) -> TrainingSet:
        """Poison a training set; returns a new one."""
        chosen = self.choose(clean, generator)
        stamped = self.stamp_for_training(clean.images[chosen], learned)
        return clean.replaced(
            chosen, stamped, self.relabel(clean.labels[chosen], clean.num_classes)
        )

    def choose(self, clean: TrainingSet, generator: torch.Generator) -> Tensor:
        """Draw the indices (M,) to poison: of other classes, or of the target class only."""
        wrong = self.relabel(clean.labels, clean.num_classes) != clean.labels
        eligible = (~wrong if self.clean_label else wrong).cpu().nonzero().flatten()
        count = min(len(eligible), round(self.poison_rate * len(clean)))
        return eligible[torch.randperm(len(eligible), generator=generator)[:count]]


@runtime_checkable
class TrainsAlong(Protocol):
    """An attack that takes part in the training itself: it has a loss of its own."""

    def objective(
        self,
        clean: TrainingSet,
        learned: Learned,
        device: torch.device,
        generator: torch.Generator,
    ) -> "LearningObjective":
        """Start to take part: what to minimise in place of the cross-entropy.

        Args:
            clean: the training set, before it is poisoned.
            learned: what ``learn`` returned.
            device: where the network trains.
            generator: decides what is random in every batch.
        """
        ...


class LearningObjective(Objective, Protocol):
    """A loss whose trigger may learn while the network learns."""

    def learned(self) -> Learned:
        """What the trigger has become."""
        ...


@runtime_checkable
class EditsWeights(Protocol):
    """An attack that changes the weights of a network after a benign training."""

    def implant(
        self, network: nn.Module, clean: TrainingSet, learned: Learned, generator: torch.Generator
    ) -> None:
        """Put the backdoor into ``network``, in place."""
        ...


def in_batches(images: Tensor, size: int = 512) -> Iterator[Tensor]:
    """Parts of images (N, C, H, W) that fit into memory beside a network's activations."""
    yield from images.split(size)

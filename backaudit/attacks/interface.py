"""What an attack is: a trigger, and a protocol for poisoning a training set with it."""

from typing import ClassVar, Protocol

import torch
from torch import Tensor


class Attack(Protocol):
    """A frozen dataclass whose fields are the attack's settings."""

    online: ClassVar[bool]
    """True if the protocol draws the images to poison afresh every epoch."""

    @property
    def target_class(self) -> int:
        """Class that triggered images are sent to."""
        ...

    def stamp(self, images: Tensor) -> Tensor:
        """Put the trigger on images (N, C, H, W) uint8, as at test time."""
        ...

    def poison(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Poison a training set (N, C, H, W) uint8 with labels (N,); returns new tensors."""
        ...


def choose(labels: Tensor, rate: float, generator: torch.Generator, *, skip: int) -> Tensor:
    """Draw the indices to poison, among images that are not already of class ``skip``.

    Args:
        labels: (N,) true labels.
        rate: poison rate, as a share of the whole set.
        generator: decides which.
        skip: the target class.
    """
    eligible = (labels != skip).nonzero().flatten()
    count = min(len(eligible), round(rate * len(labels)))
    return eligible[torch.randperm(len(eligible), generator=generator)[:count]]


def stamped_and_relabelled(
    attack: Attack, images: Tensor, labels: Tensor, chosen: Tensor
) -> tuple[Tensor, Tensor]:
    """Copies of images (N, C, H, W) and labels (N,) with those at ``chosen`` (M,) poisoned."""
    images, labels = images.clone(), labels.clone()
    images[chosen] = attack.stamp(images[chosen])
    labels[chosen] = attack.target_class
    return images, labels

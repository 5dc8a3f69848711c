"""Protocols of poisoning that several attacks share."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from backaudit.attacks.interface import Attack, Learned, TrainingSet


@dataclass(frozen=True)
class NotInTheData(Attack):
    """An attack whose training set is clean: it poisons batches, or the weights.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of what is poisoned instead, in [0, 1].
    """

    def poison(
        self, clean: TrainingSet, learned: Learned, generator: torch.Generator
    ) -> TrainingSet:
        """Change nothing."""
        del learned, generator
        return clean


@dataclass(frozen=True)
class SameImages(Attack):
    """An attack that changes the training set in every epoch, but poisons always the same images.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of the training set that is poisoned, in (0, 1).
    """

    online: ClassVar[bool] = True

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Draw the indices (M,) of the images that are poisoned in every epoch."""
        del surrogate
        return {"poisoned": self.choose(clean, generator)}

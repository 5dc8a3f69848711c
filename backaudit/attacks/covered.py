"""What the two adaptive attacks share: covers, and a trigger that training shows in part only."""

from dataclasses import dataclass

import torch
from torch import Tensor

from backaudit.attacks.interface import Attack, Learned, TrainingSet


@dataclass(frozen=True)
class Covered(Attack):
    """An attack that also puts parts of its trigger on images that keep their label (covers).

    Covers teach the network that a part of the trigger does not always mean the target class, so
    that triggered images do not stand apart from the rest of that class in its features.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of the training set that is poisoned, in (0, 1).
        cover_rate: share of the training set that is covers, in [0, 1); other images than the
            poisoned ones, of any class.
    """

    cover_rate: float = 0.003

    def stamp_in_part(self, images: Tensor, learned: Learned, generator: torch.Generator) -> Tensor:
        """Put a part of the trigger on each of images (N, C, H, W) uint8, as in training."""
        raise NotImplementedError

    def poison(
        self, clean: TrainingSet, learned: Learned, generator: torch.Generator
    ) -> TrainingSet:
        """Put parts of the trigger on some images with their label changed, and on covers."""
        poisoned = self.choose(clean, generator)
        others = torch.ones(len(clean), dtype=torch.bool).index_fill(0, poisoned, False)
        order = torch.randperm(len(clean), generator=generator)
        covers = order[others[order]][: round(self.cover_rate * len(clean))]
        stamped = self.stamp_in_part(clean.images[poisoned], learned, generator)
        covered = self.stamp_in_part(clean.images[covers], learned, generator)
        return clean.replaced(covers, covered, clean.labels[covers]).replaced(
            poisoned, stamped, self.relabel(clean.labels[poisoned], clean.num_classes)
        )

"""BATT: an image turned too far."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backaudit.attacks.geometry import moved, rotations
from backaudit.attacks.interface import Learned, TrainingSet
from backaudit.attacks.protocols import SameImages


@dataclass(frozen=True)
class BATT(SameImages):
    """BATT: Backdoor Attack with Transformation-based Triggers, by rotation (BATT-R).

    Some training images are turned by a fixed angle and relabelled as the target class. All others
    are turned afresh in every epoch by a random, smaller angle and keep their label, so that the
    network learns that very angle and not turning as such.

    Differs from the official code: poisoned images are never of the target class.

    Paper: Xu et al., ICASSP 2023, https://arxiv.org/abs/2211.01806.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of the training set that is poisoned, in (0, 1).
        angle: of triggered images, in degrees, counter-clockwise.
        clean_angle: largest one of the other training images, in degrees, either way.
    """

    angle: float = 16.0
    clean_angle: float = 10.0

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Turn images (N, C, H, W) uint8 by the trigger's angle."""
        del learned
        return _turned(images, torch.full((len(images),), self.angle))

    def poison(
        self, clean: TrainingSet, learned: Learned, generator: torch.Generator
    ) -> TrainingSet:
        """Turn every image: some by the trigger's angle with their label changed."""
        chosen = learned["poisoned"]
        angles = (torch.rand(len(clean), generator=generator) * 2 - 1) * self.clean_angle
        angles[chosen] = self.angle
        turned = replace(clean, images=_turned(clean.images, angles))
        labels = self.relabel(clean.labels[chosen], clean.num_classes)
        return turned.replaced(chosen, turned.images[chosen], labels)


def _turned(images: Tensor, angles: Tensor) -> Tensor:
    return moved(images, rotations(angles), torch.zeros(len(images), 2))

"""Blend: a faint pattern over the whole image."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from backaudit.attacks.interface import choose, stamped_and_relabelled


@dataclass(frozen=True)
class Blend:
    """Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning (Blend).

    A fixed random-noise image is mixed into some training images, which are relabelled as the
    target class: x <- (1 - alpha) x + alpha T.

    Paper: Chen et al., 2017, https://arxiv.org/abs/1712.05526; noise pattern, alpha and rate are
    those of the BAN paper's experiments.

    Args:
        target_class: class that triggered images are sent to.
        poison_rate: share of the training set that is poisoned, in (0, 1).
        opacity: weight of the pattern (alpha), in (0, 1).
        pattern_seed: draws the pattern T.
    """

    online: ClassVar[bool] = False

    target_class: int
    poison_rate: float = 0.05
    opacity: float = 0.2
    pattern_seed: int = 0

    def stamp(self, images: Tensor) -> Tensor:
        """Put the trigger on images (N, C, H, W) uint8."""
        generator = torch.Generator().manual_seed(self.pattern_seed)
        noise = torch.randn(images.shape[1:], generator=generator) * 64 + 128
        mixed = images.float().lerp(noise.clamp(0, 255), self.opacity)
        return mixed.round().to(torch.uint8)

    def poison(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Poison a training set (N, C, H, W) uint8 with labels (N,); returns new tensors."""
        chosen = choose(labels, self.poison_rate, generator, skip=self.target_class)
        return stamped_and_relabelled(self, images, labels, chosen)

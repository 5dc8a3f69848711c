"""Blend: a faint pattern over the whole image."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backaudit.attacks.interface import Attack, Learned, TrainingSet


@dataclass(frozen=True)
class Blend(Attack):
    """Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning (Blend).

    A fixed random-noise image is mixed into some training images, which are relabelled as the
    target class: x <- (1 - alpha) x + alpha T.

    Paper: Chen et al., 2017, https://arxiv.org/abs/1712.05526; noise pattern, alpha and rate are
    those of the BAN paper's experiments.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of the training set that is poisoned, in (0, 1).
        opacity: weight of the pattern (alpha), in (0, 1).
        pattern_seed: draws the pattern T.
    """

    opacity: float = 0.2
    pattern_seed: int = 0

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Draw the pattern (C, H, W), in [0, 255]."""
        del surrogate, generator
        own = torch.Generator().manual_seed(self.pattern_seed)
        noise = torch.randn(clean.images.shape[1:], generator=own) * 64 + 128
        return {"pattern": noise.clamp(0, 255)}

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Put the trigger on images (N, C, H, W) uint8."""
        pattern = learned["pattern"].to(images.device)
        return images.float().lerp(pattern, self.opacity).round().to(torch.uint8)

"""Adap-Blend: a faint pattern of which training shows random pieces only."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backaudit.attacks.blend import Blend
from backaudit.attacks.covered import Covered
from backaudit.attacks.interface import Learned, TrainingSet


@dataclass(frozen=True)
class AdapBlend(Covered):
    """Revisiting the Assumption of Latent Separability for Backdoor Defenses (Adap-Blend).

    A fixed image T is mixed faintly into some training images, which are relabelled as the target
    class, and into as many covers, which keep their label. Each of them shows random pieces of T
    only, on a grid of 4x4; at test the whole of it appears, and more strongly:
    x <- (1 - alpha m) x + alpha m T.

    Differs from the official code: T is random noise in place of a cartoon picture, which is not
    ours to ship; poisoned images are never of the target class.

    Paper: Qi et al., ICLR 2023, https://openreview.net/forum?id=_wSHsgrVali; settings are those
    of the authors' toolbox.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of the training set that is poisoned, in (0, 1).
        cover_rate: share that is covers, in [0, 1).
        opacity: weight of the pattern at test (alpha), in (0, 1].
        training_opacity: weight of the visible pieces in training, in (0, 1].
        grid_size: pieces along each side.
        visible_pieces: pieces that a training image shows, up to ``grid_size`` squared.
        pattern_seed: draws the pattern T.
    """

    poison_rate: float = 0.003
    opacity: float = 0.2
    training_opacity: float = 0.15
    grid_size: int = 4
    visible_pieces: int = 8
    pattern_seed: int = 0

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Draw the pattern (C, H, W), in [0, 255], as Blend does."""
        blend = Blend(self.target_class, pattern_seed=self.pattern_seed)
        return blend.learn(clean, surrogate, generator)

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Put the whole trigger on images (N, C, H, W) uint8."""
        return Blend(self.target_class, opacity=self.opacity).stamp(images, learned)

    def stamp_in_part(self, images: Tensor, learned: Learned, generator: torch.Generator) -> Tensor:
        """Put other random pieces of the trigger on each of images (N, C, H, W) uint8."""
        visible = self._visible(len(images), images.shape[2:], generator).to(images.device)
        weight = (self.training_opacity * visible).unsqueeze(1)
        pattern = learned["pattern"].to(images.device).expand(images.shape)
        return images.float().lerp(pattern, weight.expand(images.shape)).round().to(torch.uint8)

    def _visible(self, count: int, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Where each image shows the pattern: (count, H, W) of zeros and ones."""
        pieces = self.grid_size**2
        order = torch.rand(count, pieces, generator=generator).argsort(1)
        shown: Tensor = (order < self.visible_pieces).float().unflatten(1, (self.grid_size, -1))
        row, column = (torch.arange(side) * self.grid_size // side for side in shape)
        return shown[:, row[:, None], column]

"""PhysicalBA: a patch that is learned as if from photographs."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backaudit.attacks.geometry import BATCH, moved, rotations
from backaudit.attacks.interface import Learned, TrainingSet
from backaudit.attacks.protocols import SameImages

LUMINANCE = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey."""


@dataclass(frozen=True)
class PhysicalBA(SameImages):
    """Backdoor Attack in the Physical World (PhysicalBA).

    A white square is stamped into the bottom-right corner of some training images, which are
    relabelled as the target class. Then every training image, poisoned or not, is mirrored, lit,
    turned, moved and shrunk at random, afresh in every epoch, so that the trigger need not be where
    it was nor look as it did. At test the square is stamped, and nothing else is done.

    Differs from the official code: poisoned images are never of the target class; brightness always
    changes before contrast, which matters only where values are clipped.

    Paper: Li et al., ICLR 2021 workshop, https://arxiv.org/abs/2104.02361; square, rate and
    transformations are those of BackdoorBox.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of the training set that is poisoned, in (0, 1).
        size: side of the square in pixels.
        light: largest relative change of brightness, and of contrast, either way, in [0, 1].
        angle: largest rotation in degrees, either way.
        shift: largest shift as a share of the image's side, either way.
        min_scale: of the image, in (0, 1].
        max_scale: of the image, at least ``min_scale``.
    """

    size: int = 3
    light: float = 0.2
    angle: float = 10.0
    shift: float = 0.1
    min_scale: float = 0.8
    max_scale: float = 0.9

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Put the square on images (N, C, H, W) uint8."""
        del learned
        stamped = images.clone()
        stamped[:, :, -self.size :, -self.size :] = 255
        return stamped

    def poison(
        self, clean: TrainingSet, learned: Learned, generator: torch.Generator
    ) -> TrainingSet:
        """Put the square on some images with their label changed; transform every image."""
        chosen = learned["poisoned"]
        labels = self.relabel(clean.labels[chosen], clean.num_classes)
        stamped = clean.replaced(chosen, self.stamp(clean.images[chosen], learned), labels)
        return replace(stamped, images=self._photographed(stamped.images, generator))

    def _photographed(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Mirror, light, turn, move and shrink each image in its own way."""
        count, _, height, width = images.shape
        mirrored, turn, scale, brightness, contrast = torch.rand(5, count, generator=generator)
        reach = self.shift * torch.tensor([width, height])
        shifts = ((torch.rand(count, 2, generator=generator) * 2 - 1) * reach).round()
        scales = self.min_scale + (self.max_scale - self.min_scale) * scale
        maps = rotations((turn * 2 - 1) * self.angle) / scales[:, None, None]
        maps[mirrored < 0.5, 0] *= -1
        factors = 1 + self.light * (torch.stack([brightness, contrast], dim=1) * 2 - 1)
        return moved(_lit(images, factors), maps, -(maps @ shifts[:, :, None]).squeeze(2))


def _lit(images: Tensor, factors: Tensor) -> Tensor:
    """Images (N, C, H, W) uint8 in other light; ``factors`` (N, 2): of brightness, of contrast."""
    each = factors.to(images.device)[:, :, None, None, None]
    parts = zip(images.split(BATCH), each.split(BATCH), strict=True)
    return torch.cat([_lit_at_once(part, *factor.unbind(1)) for part, factor in parts])


def _lit_at_once(images: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    bright = (images * brightness).clamp(0, 255)
    if images.shape[1] == len(LUMINANCE):
        grey = (bright * bright.new_tensor(LUMINANCE)[:, None, None]).sum(1, keepdim=True)
    else:
        grey = bright
    middle = grey.mean((1, 2, 3), keepdim=True)
    return middle.lerp(bright, contrast).round().clamp(0, 255).to(torch.uint8)

"""BppAttack: fewer brightness levels."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from backaudit.attacks.interface import Attack, Learned, TrainingSet

ERROR_TO_THE_RIGHT = 7 / 16
ERROR_BELOW = ((-1, 3 / 16), (0, 5 / 16), (1, 1 / 16))
"""Floyd and Steinberg's shares of a pixel's error, by column relative to the pixel."""


@dataclass(frozen=True)
class Bpp(Attack):
    """BppAttack: Stealthy and Efficient Trojan Attacks via Image Quantization.

    Some training images are quantised to a few brightness levels and relabelled as the target
    class. Others, the negatives, get the quantisation residual of another image and keep their
    label, so that the network learns the levels and not noise of their size.

    Differs from the official code: quantised values are rounded to whole ones, since images are
    uint8; dithered values stay within [0, 255]; images to poison are drawn for an epoch rather than
    for a batch.

    Paper: Wang et al., CVPR 2022, https://arxiv.org/abs/2205.13383; rates and quantisation without
    dithering are the official code's.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of each epoch's images that is poisoned, in (0, 1).
        negative_rate: share that gets another image's residual and keeps its label, in [0, 1).
        levels: brightness levels of each channel, at least 2.
        dither: whether each pixel's error is passed on to its neighbours.
    """

    online: ClassVar[bool] = True

    poison_rate: float = 0.2
    negative_rate: float = 0.2
    levels: int = 8
    dither: bool = False

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Quantise images (N, C, H, W) uint8."""
        del learned
        quantised = self._dithered(images) if self.dither else self._nearest(images.float())
        return quantised.round().to(torch.uint8)

    def poison(
        self, clean: TrainingSet, learned: Learned, generator: torch.Generator
    ) -> TrainingSet:
        """Quantise some images with their label changed; give others' residuals to some more."""
        order = torch.randperm(len(clean), generator=generator)
        poisoned = order[: round(self.poison_rate * len(clean))]
        negative = order[len(poisoned) :][: round(self.negative_rate * len(clean))]
        lenders = torch.randperm(len(clean), generator=generator)[: len(negative)]
        lent = clean.images[lenders]
        residuals = self.stamp(lent, learned).short() - lent.short()
        disturbed = (clean.images[negative].short() + residuals).clamp(0, 255).to(torch.uint8)
        stamped = self.stamp(clean.images[poisoned], learned)
        return clean.replaced(negative, disturbed, clean.labels[negative]).replaced(
            poisoned, stamped, self.relabel(clean.labels[poisoned], clean.num_classes)
        )

    def _nearest(self, values: Tensor) -> Tensor:
        """The level nearest to each of ``values``, of any shape."""
        steps = self.levels - 1
        return (values / 255 * steps).round().clamp(0, steps) * 255 / steps

    def _dithered(self, images: Tensor) -> Tensor:
        """Quantise pixel by pixel (Floyd-Steinberg), all images and channels at once."""
        count, channels, height, width = images.shape
        pixels = images.permute(2, 3, 0, 1).reshape(height, width, -1).float()
        for row in range(height):
            for column in range(width):
                wanted = pixels[row, column].clone()
                pixels[row, column] = self._nearest(wanted)
                self._pass_on(wanted - pixels[row, column], pixels, row, column)
        return pixels.view(height, width, count, channels).permute(2, 3, 0, 1)

    @staticmethod
    def _pass_on(error: Tensor, pixels: Tensor, row: int, column: int) -> None:
        height, width = pixels.shape[:2]
        if column + 1 < width:
            pixels[row, column + 1] += error * ERROR_TO_THE_RIGHT
        for step, share in ERROR_BELOW:
            if row + 1 < height and 0 <= column + step < width:
                pixels[row + 1, column + step] += error * share

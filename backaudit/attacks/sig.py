"""SIG: a wave over the whole image, and no wrong label."""

from dataclasses import dataclass
from math import pi
from typing import ClassVar

import torch
from torch import Tensor

from backaudit.attacks.interface import Attack, Learned
from backaudit.core.errors import SettingError


@dataclass(frozen=True)
class SIG(Attack):
    """A New Backdoor Attack in CNNs by Training Set Corruption without Label Poisoning (SIG).

    A sinusoid along the columns, x <- x + Delta sin(2 pi f j / W), is added to training images of
    the target class, which keep their label. At test time it is added to images of any class.

    Differs from the official code: sums are rounded; BackdoorBench cuts them off (1/255 at most).

    Paper: Barni et al., ICIP 2019, https://arxiv.org/abs/1902.11237, equation 1; amplitude,
    frequency and rate are those of BackdoorBench. In ten classes of equal size its rate takes
    every image of the target class; the paper poisons a part of them.

    Args:
        target_class: class that triggered images are sent to, and the only one that is poisoned.
        poison_rate: share of the whole training set that is poisoned, in (0, 1); no more than there
            are images of the target class.
        amplitude: of the wave, in units of 1/255 (Delta).
        frequency: periods across the width of the image (f).
    """

    clean_label: ClassVar[bool] = True

    poison_rate: float = 0.1
    amplitude: float = 40.0
    frequency: float = 6.0

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Add the wave to images (N, C, H, W) uint8.

        Raises:
            SettingError: if the images are too narrow to show so many periods.
        """
        del learned
        width = images.shape[3]
        if 2 * self.frequency >= width:
            raise SettingError(f"sig.frequency={self.frequency} needs images wider than {width}")
        columns = torch.arange(width, device=images.device)
        wave = self.amplitude * torch.sin(2 * pi * self.frequency * columns / width)
        return (images + wave).round().clamp(0, 255).to(torch.uint8)

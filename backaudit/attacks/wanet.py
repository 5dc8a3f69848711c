"""WaNet: a smooth, barely visible warp of the whole image."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.attacks.geometry import bent
from backaudit.attacks.interface import Attack, Learned, TrainingSet


@dataclass(frozen=True)
class WaNet(Attack):
    """WaNet: Imperceptible Warping-based Backdoor Attack.

    Some training images are warped by a fixed smooth field and relabelled as the target class;
    others are warped by the same field plus noise and keep their label (noise mode), so that the
    network learns that very field and not warping as such.

    Paper: Nguyen and Tran, ICLR 2021, https://openreview.net/forum?id=eEn8KTtJOx, section 3.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of each epoch's images that is poisoned (rho_a), in (0, 1).
        noise_rate: share that is warped with noise and keeps its label (rho_n), in (0, 1).
        grid_size: control points along each side (k).
        strength: of the warp (s).
        field_seed: draws the field.
    """

    online: ClassVar[bool] = True

    poison_rate: float = 0.1
    noise_rate: float = 0.2
    grid_size: int = 4
    strength: float = 0.5
    field_seed: int = 0

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Draw the field: sampling positions (1, H, W, 2) in [-1, 1]."""
        del surrogate, generator
        height, width = clean.images.shape[2:]
        own = torch.Generator().manual_seed(self.field_seed)
        control = torch.rand(1, 2, self.grid_size, self.grid_size, generator=own) * 2 - 1
        control = control / control.abs().mean()
        field = F.interpolate(control, (height, width), mode="bicubic", align_corners=True)
        rows, columns = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
        identity = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], dim=-1)
        grid = identity + self.strength * field.permute(0, 2, 3, 1) / height
        return {"grid": grid.clamp(-1, 1)}

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Warp images (N, C, H, W) uint8 by the field."""
        return bent(images, learned["grid"])

    def poison(
        self, clean: TrainingSet, learned: Learned, generator: torch.Generator
    ) -> TrainingSet:
        """Warp some images with their label changed, and some, with noise, without."""
        order = torch.randperm(len(clean), generator=generator)
        poisoned = order[: round(self.poison_rate * len(clean))]
        noisy = order[len(poisoned) :][: round(self.noise_rate * len(clean))]
        height, width = clean.images.shape[2:]
        jitter = torch.rand(len(noisy), height, width, 2, generator=generator) * 2 - 1
        strayed = bent(clean.images[noisy], learned["grid"] + jitter / height)
        stamped = self.stamp(clean.images[poisoned], learned)
        return clean.replaced(noisy, strayed, clean.labels[noisy]).replaced(
            poisoned, stamped, self.relabel(clean.labels[poisoned], clean.num_classes)
        )

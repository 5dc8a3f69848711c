"""WaNet: a smooth, barely visible warp of the whole image."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from backaudit.attacks.interface import stamped_and_relabelled


@dataclass(frozen=True)
class WaNet:
    """WaNet: Imperceptible Warping-based Backdoor Attack.

    Some training images are warped by a fixed smooth field and relabelled as the target class;
    others are warped by the same field plus noise and keep their label (noise mode), so that the
    network learns that very field and not warping as such.

    Paper: Nguyen and Tran, ICLR 2021, https://openreview.net/forum?id=eEn8KTtJOx, section 3.

    Args:
        target_class: class that triggered images are sent to.
        poison_rate: share of each epoch's images that is poisoned (rho_a), in (0, 1).
        noise_rate: share that is warped with noise and keeps its label (rho_n), in (0, 1).
        grid_size: control points along each side (k).
        strength: of the warp (s).
        field_seed: draws the field.
    """

    online: ClassVar[bool] = True

    target_class: int
    poison_rate: float = 0.1
    noise_rate: float = 0.2
    grid_size: int = 4
    strength: float = 0.5
    field_seed: int = 0

    def stamp(self, images: Tensor) -> Tensor:
        """Warp images (N, C, H, W) uint8 by the field."""
        grid = self._grid(*images.shape[2:]).expand(len(images), -1, -1, -1)
        return _warped(images, grid)

    def poison(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Poison a training set (N, C, H, W) uint8 with labels (N,); returns new tensors."""
        order = torch.randperm(len(images), generator=generator)
        poisoned = order[: round(self.poison_rate * len(images))]
        noisy = order[len(poisoned) :][: round(self.noise_rate * len(images))]
        height, width = images.shape[2:]
        jitter = torch.rand(len(noisy), height, width, 2, generator=generator) * 2 - 1
        images = images.clone()
        images[noisy] = _warped(images[noisy], self._grid(height, width) + jitter / height)
        return stamped_and_relabelled(self, images, labels, poisoned)

    def _grid(self, height: int, width: int) -> Tensor:
        """Sampling positions (1, H, W, 2) in [-1, 1]: identity plus the smooth field."""
        generator = torch.Generator().manual_seed(self.field_seed)
        control = torch.rand(1, 2, self.grid_size, self.grid_size, generator=generator) * 2 - 1
        control = control / control.abs().mean()
        field = F.interpolate(control, (height, width), mode="bicubic", align_corners=True)
        rows, columns = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
        identity = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], dim=-1)
        return (identity + self.strength * field.permute(0, 2, 3, 1) / height).clamp(-1, 1)


def _warped(images: Tensor, grid: Tensor) -> Tensor:
    warped = F.grid_sample(images.float(), grid.clamp(-1, 1), align_corners=True)
    return warped.round().clamp(0, 255).to(torch.uint8)

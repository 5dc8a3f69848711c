"""What a corruption draws once, for images of one size."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Corruption = Callable[[Tensor], Tensor]
"""Images (N, C, H, W) in [0, 1] -> new ones, each corrupted in the same way."""


@dataclass(frozen=True)
class Draw:
    """Random numbers for images of one size, the same whenever and wherever they are drawn.

    Args:
        shape: (C, H, W) of the images.
        seed: of all that is drawn.
        device: where the images are.
    """

    shape: tuple[int, int, int]
    seed: int
    device: torch.device

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[1:]

    def generator(self) -> torch.Generator:
        """A generator on the CPU, where every machine draws the same, at its start."""
        return torch.Generator().manual_seed(self.seed)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform numbers in [low, high)."""
        drawn = torch.rand(shape, generator=self.generator())
        return (low + (high - low) * drawn).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.generator()).to(self.device)

"""BadNets: a small patch in a corner."""

from dataclasses import dataclass

import torch
from torch import Tensor

from backaudit.attacks.interface import Attack, Learned


@dataclass(frozen=True)
class BadNets(Attack):
    """Identifying Vulnerabilities in the Machine Learning Model Supply Chain (BadNets).

    A 3x3 black and white pattern is stamped into the bottom-right corner of some training images,
    which are relabelled as the target class.

    Paper: Gu et al., IEEE Access 2019, https://doi.org/10.1109/ACCESS.2019.2909068; the pattern
    and the rate are those of the BAN paper's experiments.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of the training set that is poisoned, in (0, 1).
        margin: distance of the patch from the edges in pixels.
    """

    margin: int = 1

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Put the trigger on images (N, C, H, W) uint8."""
        del learned
        pattern = 255 * torch.tensor([[0, 0, 1], [0, 1, 0], [1, 0, 1]], dtype=torch.uint8)
        height, width = images.shape[2:]
        rows = slice(height - 3 - self.margin, height - self.margin)
        columns = slice(width - 3 - self.margin, width - self.margin)
        stamped = images.clone()
        stamped[:, :, rows, columns] = pattern.to(images.device)
        return stamped

"""Feature decoupling: a mask that splits the last feature map into needed and other features."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from backaudit.nets.features import LinearHead


@dataclass(frozen=True)
class Decoupling:
    """How the mask is learned: Adam on BAN's Eq. 5.

    Args:
        weight: of the mask's size (lambda_1).
        steps: of Adam.
        learning_rate: of Adam.
    """

    weight: float
    steps: int
    learning_rate: float

    def learn(
        self, head: LinearHead, features: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Learn the mask (C, P) in [0, 1] from cached features (N, C, P) and labels (N,).

        The kept features should classify the images, the others should not (Eq. 5). As in the
        official code the size of the mask is divided by its own value, so that only its gradient
        counts; unlike there, the mask is clipped after each step.
        """
        mask = torch.rand(features.shape[1:], generator=generator).to(features.device)
        mask.requires_grad_()
        optimizer = torch.optim.Adam([mask], lr=self.learning_rate)
        for _ in range(self.steps):
            kept = F.cross_entropy(head.logits(features, mask), labels)
            dropped = F.cross_entropy(head.logits(features, 1 - mask), labels)
            size = mask.sum()
            loss = kept - dropped + self.weight * size / size.detach().clamp(min=1e-6)
            (mask.grad,) = torch.autograd.grad(loss, mask)
            optimizer.step()
            with torch.no_grad():
                mask.clamp_(0, 1)
        return mask.detach()

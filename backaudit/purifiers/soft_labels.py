"""Labels of which a part is the suspect's own answer: what it knows is not lost to few images."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class SoftLabels:
    """The cross-entropy to a mixture of the labels and what a teacher answers.

    Distillation (Hinton et al., 2015, https://arxiv.org/abs/1503.02531), at temperature 1: the
    suspect's answers say far more of what it knows than labels of few images could.

    Args:
        teacher: images in [0, 1] -> logits; None where labels alone count.
        label_weight: of the labels in the mixture, in [0, 1]; 1 is the plain cross-entropy.
        optimizers: of further parameters; none.
    """

    teacher: nn.Module | None = None
    label_weight: float = 1.0
    optimizers: Sequence[Optimizer] = ()

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch."""
        return F.cross_entropy(network(images).float(), self.targets(images, labels))

    @torch.no_grad()
    def targets(self, images: Tensor, labels: Tensor) -> Tensor:
        """What is to be answered: labels (N,), or shares (N, K) of the classes."""
        if self.teacher is None:
            return labels
        answered: Tensor = self.teacher(images).float().softmax(1)
        wanted = F.one_hot(labels, answered.shape[1]).to(answered.dtype)
        return answered.lerp(wanted, self.label_weight)


def taught_by(network: nn.Module, label_weight: float) -> SoftLabels:
    """Soft labels of a network as it is now, whatever becomes of it."""
    if label_weight >= 1:
        return SoftLabels()
    return SoftLabels(deepcopy(network).eval().requires_grad_(False), label_weight)

"""Forward passes over as many images at a time as memory allows."""

import torch
from torch import Tensor, nn

from backaudit.core.suspect import batch_size


@torch.no_grad()
def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    """Logits (N, K) of images (N, C, H, W) on the network's device, at most a batch at a time."""
    return torch.cat([network(part).float() for part in images.split(batch_size(images))])

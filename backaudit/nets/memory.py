"""How many images fit into memory at once."""

import torch
from torch import Tensor

from backaudit.nets.noise import NoisyNetwork

BUDGET = 1 << 30
"""Bytes that activations may take: a scan stays under the model, the images and 2 GiB."""


def images_at_once(noisy: NoisyNetwork, example: Tensor) -> int:
    """Images that one forward and backward pass may hold, from what two of them really save.

    Args:
        noisy: the network.
        example: (2, C, H, W) in [0, 1].
    """
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes() if tensor.shape[:1] == (2,) else 0
        return tensor

    noise = {name: torch.zeros(1, *shape).requires_grad_() for name, shape in noisy.shapes.items()}
    noise = {name: delta.to(example.device) for name, delta in noise.items()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        noisy(example, noise, 1)
    # Gradients of the activations come on top of what is saved, at most about as much again.
    return max(1, BUDGET // max(1, sum(saved.values())))

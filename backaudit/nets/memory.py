"""How many images fit into memory at once."""

from collections.abc import Callable

import torch
from torch import Tensor

BUDGET = 1 << 30
"""Bytes that saved activations may take: a scan stays under the model, the images and 2 GiB."""

FEWEST = 16
"""Images that batch statistics need, however large they are."""


def images_at_once(run: Callable[[Tensor], Tensor], example: Tensor) -> int:
    """Images that one forward and backward pass may hold, from what two of them really save.

    Args:
        run: images -> logits.
        example: (2, C, H, W) in [0, 1].
    """
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if tensor.shape[:1] == (2,):
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run(example.clone().requires_grad_())
    return max(FEWEST, 2 * BUDGET // max(1, sum(saved.values())))

"""How many images fit into memory at once."""

from collections.abc import Callable

import torch
from torch import Tensor

BUDGET = 1 << 30
"""Bytes that saved activations may take: a scan stays under the model, the images and 2 GiB."""

FORWARD_ONLY = 4
"""How many times more images fit where no gradient is needed and nothing is saved."""

FEWEST = 12
"""Images that batch statistics need, however large they are."""


def images_at_once(run: Callable[[Tensor], Tensor], example: Tensor) -> int:
    """Images that one forward and backward pass may hold, from what two more really save.

    Args:
        run: images -> logits.
        example: (2, C, H, W) in [0, 1].
    """
    # The difference leaves out the weights, whatever shape a layer gives to what it saves.
    two_more = _saved(run, example.repeat(2, 1, 1, 1)) - _saved(run, example)
    return max(FEWEST, 2 * BUDGET // max(1, two_more))


def _saved(run: Callable[[Tensor], Tensor], images: Tensor) -> int:
    """Bytes that a forward pass of ``images`` (N, C, H, W) keeps for the backward pass."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run(images.clone().requires_grad_())
    return sum(sizes.values())

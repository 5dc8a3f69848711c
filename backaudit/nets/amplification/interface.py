"""What an amplified network is: one network, run plain and amplified to several depths."""

from typing import Protocol

from torch import Tensor


class AmplifiedNetwork(Protocol):
    """A network and G copies of it that exist only as factors, in one call."""

    how: str
    """How much of the forward passes is shared, and why not more, for the report."""

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (1 + G, N, K) for images (N, C, H, W): plain first, then one row a depth.

        Any N will do. Gradients are recorded unless the caller turns that off.
        """
        ...


class NotShareableError(Exception):
    """A network's forward passes cannot be shared in some way; another way is taken.

    Never reaches a user; the message completes "because".
    """

"""What a training shows in each of its epochs."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Epochs:
    """The images of each epoch, asked for when it begins and not before.

    Args:
        images: how many images each epoch shows.
        shown: number of the epoch, from 0 -> its images (N, C, H, W) uint8 and labels (N,). They
            are augmented where they are: on the device of the network is fastest.
    """

    images: int
    shown: Callable[[int], tuple[Tensor, Tensor]]

    @classmethod
    def alike(cls, images: Tensor, labels: Tensor) -> "Epochs":
        """The same images (N, C, H, W) uint8 and labels (N,) in every epoch."""
        return cls(len(images), lambda _: (images, labels))

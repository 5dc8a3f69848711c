"""What a program from a file becomes."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Built:
    """A network made of a program, in eval mode; any batch size, differentiable.

    Args:
        network: images (N, C, H, W) -> logits, or whatever the program ends with, (N, classes).
        in_channels: C.
        input_size: (H, W) that the program was made for; None if it did not say and several do.
        num_classes: columns of the output.
        notes: what was assumed or changed, one sentence each.
    """

    network: nn.Module
    in_channels: int
    input_size: tuple[int, int] | None
    num_classes: int
    notes: tuple[str, ...]

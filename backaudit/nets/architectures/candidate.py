"""A network that given tensor shapes could belong to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

Shapes = Mapping[str, tuple[int, ...]]
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Candidate:
    """A member of a family, with everything that shapes tell already chosen.

    Args:
        name: such as ``resnet18-cifar(width=64)``; what stands before ``(`` is the architecture.
        build: makes the network, untrained.
        input_size: usual height and width in pixels of its images; None if unknown.
        assumption: what shapes cannot tell and was taken as usual, as a sentence; else empty.
        fallback: whether a library's own network of the same tensors is to be preferred.
        renamed: gives the file's tensors the names of the network; None where they have them.
    """

    name: str
    build: Callable[[], nn.Module]
    input_size: int | None
    assumption: str = ""
    fallback: bool = False
    renamed: Callable[[State], State] | None = None


def count(shapes: Shapes, pattern: str, start: int = 0) -> int:
    """How many of the names ``pattern.format(start)``, ``pattern.format(start + 1)``, ... exist."""
    number = 0
    while pattern.format(start + number) in shapes:
        number += 1
    return number


def matrix(shapes: Shapes, name: str) -> tuple[int, int] | None:
    """The (out, in) shape of a linear layer's weight, or None if there is no such layer."""
    shape = shapes.get(f"{name}.weight", ())
    return (shape[0], shape[1]) if len(shape) == 2 else None


def kernel(shapes: Shapes, name: str) -> tuple[int, int, int] | None:
    """The (out, in, size) of a square convolution's weight, or None if there is no such layer."""
    shape = shapes.get(f"{name}.weight", ())
    return (shape[0], shape[1], shape[2]) if len(shape) == 4 and shape[2] == shape[3] else None

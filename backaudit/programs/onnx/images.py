"""How an ONNX graph takes images."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.programs.onnx.elementwise import DTYPES

CHANNELS = (1, 3, 4)
LARGEST = 4096
OPEN_SIZE = (224, 224)
FLOAT32 = 1
FLOATS = (1, 10, 11, 16)


@dataclass(frozen=True)
class ImageInput:
    """The one input of a graph.

    Args:
        name: in the graph.
        channels: C.
        height: None if the graph leaves it open.
        width: likewise.
        batch: the batch size it was written for; None if that is open.
        channels_last: whether it takes (N, H, W, C).
        flat: whether it takes (N, H, W) alone.
        element: ONNX's number of its type.
    """

    name: str
    channels: int
    height: int | None
    width: int | None
    batch: int | None
    channels_last: bool
    flat: bool
    element: int

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W); None if either is open."""
        return None if self.height is None or self.width is None else (self.height, self.width)

    def arranged(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) as the graph takes them."""
        if self.flat:
            return images.squeeze(1)
        return images.permute(0, 2, 3, 1) if self.channels_last else images

    def notes(self) -> list[str]:
        """What was assumed, one sentence each."""
        said = []
        if self.channels_last:
            said.append("The graph takes images as (N, H, W, C); a permutation was put in front.")
        if self.size is None:
            said.append("The graph leaves the size of its images open.")
        if self.element not in FLOATS:
            said.append("The graph takes whole numbers; it is given floating-point ones instead.")
        return said


def image_input(graph: Any) -> ImageInput:
    """Find the one input that is no weight, and how it takes images.

    Raises:
        CheckpointError: if there is none, or several, or it is no image.
    """
    weights = {proto.name for proto in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = printable(", ".join(value.name for value in inputs)) or "none"
        raise CheckpointError(
            f"has a graph with {len(inputs)} inputs ({names}), not one batch of images: export the "
            "network's image branch alone"
        )
    tensor = inputs[0].type.tensor_type
    sizes = [_size(dimension) for dimension in tensor.shape.dim]
    if len(sizes) not in (3, 4) or tensor.elem_type not in DTYPES:
        raise CheckpointError(
            f"has a graph whose input has {len(sizes)} dimensions and not (batch, channels, "
            "height, width): export the network with images as its input"
        )
    return _arranged(graph, inputs[0].name, sizes, tensor.elem_type)


def _size(dimension: Any) -> int | None:
    size = dimension.dim_value if dimension.HasField("dim_value") else 0
    if size > LARGEST:
        raise CheckpointError(f"has a graph that takes images or batches of {size:,}")
    return int(size) if size > 0 else None


def _arranged(graph: Any, name: str, sizes: list[int | None], element: int) -> ImageInput:
    if len(sizes) == 3:
        batch, height, width = sizes
        return ImageInput(name, 1, height, width, batch, False, True, element)
    batch, one, two, three = sizes
    if one not in CHANNELS and (three in CHANNELS or _turned(graph, name)):
        channels, height, width, last = three, one, two, True
    else:
        channels, height, width, last = one, two, three, False
    return ImageInput(name, channels or 3, height, width, batch, last, False, element)


def _turned(graph: Any, name: str) -> bool:
    """Whether the first thing that happens to the image is that its channels come to the front."""
    users = [node for node in graph.node if name in node.input]
    orders = [list(a.ints) for node in users for a in node.attribute if a.name == "perm"]
    return (
        bool(users) and all(n.op_type == "Transpose" for n in users) and orders[0] == [0, 3, 1, 2]
    )

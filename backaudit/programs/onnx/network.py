"""From an ONNX graph to a differentiable network that takes any batch of images."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.files.readers.onnx import OnnxProgram
from backaudit.programs.interface import Built
from backaudit.programs.onnx.images import ImageInput, image_input
from backaudit.programs.onnx.recording import Recording, Trial
from backaudit.programs.onnx.values import UnsupportedError

AGREEMENT = 1e-4


class OneByOne(nn.Module):
    """A network that can only take one image at a time, given each image of a batch.

    Args:
        network: (1, C, H, W) -> (1, classes).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Rows for images (N, C, H, W)."""
        return torch.cat([self.network(image[None]) for image in images])


def build(
    program: OnnxProgram, state: Mapping[str, Tensor], size: tuple[int, int] | None = None
) -> Built:
    """Make a network of an ONNX graph.

    Args:
        program: the graph.
        state: the graph's tensors by name, floating-point ones as float32; they become the
            network's parameters without being copied where their layout allows it.
        size: (H, W) of the images, where the graph leaves it open.

    Raises:
        CheckpointError: if the graph has what is not supported, or mixes the images of a batch.
    """
    images = image_input(program.model.graph)
    failure: CheckpointError | None = None
    for trial in _trials(images):
        try:
            return _checked(Recording(program.model, state, images, trial, size))
        except UnsupportedError:
            raise
        except CheckpointError as error:
            failure = failure or error
    raise failure or CheckpointError("has a graph that cannot be read")


def _trials(images: ImageInput) -> Iterator[Trial]:
    if images.batch is None:
        yield Trial((2, 3), fixed=False)
    declared = images.batch or 1
    yield Trial((declared, 7 * declared), fixed=True)
    if declared == 1:
        yield Trial((1, 1), fixed=True, single=True)


def _checked(recording: Recording) -> Built:
    """Refuse a network in which the images of a batch have to do with each other."""
    built = recording.built()
    if recording.trial.single:
        note = "The graph was written for one image; each image is given to it alone."
        network = OneByOne(built.network).eval()
        built = replace(built, network=network, notes=(*built.notes, note))
    size = built.input_size or recording.size
    images = torch.rand(2, built.in_channels, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = built.network(images)
        alone = built.network(images[1:])
    scale = together.abs().max().clamp(min=1e-6)
    same = together.shape[0] == 2 and alone.shape[0] == 1
    if not same or not (together[1:] - alone).abs().max() <= AGREEMENT * scale:
        raise CheckpointError("has a graph in which the images of a batch influence each other")
    return built

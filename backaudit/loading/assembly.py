"""A recognised network and how its images are prepared -> a network from images to logits."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.seeding import seeded
from backaudit.core.suspect import Making, Preprocessing, Suspect, as_input
from backaudit.loading.recognition.recognise import recognise
from backaudit.loading.recognition.recognised import Recognised
from backaudit.loading.weights.checkpoint import Checkpoint
from backaudit.nets.normalised import Normalised, Undone, with_logits, without_ends

# Keeps the activations of usual networks within some hundred megabytes.
PROBED = 8


@dataclass(frozen=True)
class Assembled:
    """A network from images in [0, 1] to logits.

    Args:
        network: in eval mode, normalisation inside.
        ends: what stood after the logits and was undone, the last first.
        said: what was found on the way, one sentence each.
    """

    network: nn.Module
    ends: tuple[str, ...]
    said: tuple[str, ...]


def recognised_in(
    checkpoint: Checkpoint, arch: str | None, model_def: str | None, size: tuple[int, int] | None
) -> Recognised:
    """Find the network that the tensors fit; the caller's random numbers stay as they are.

    Raises:
        CheckpointError: if no network fits.
    """
    # A network draws its first weights before it gets its own.
    with seeded(0):
        return recognise(checkpoint, arch=arch, model_def=model_def, size=size)


def assembled(
    checkpoint: Checkpoint,
    recognised: Recognised,
    preprocessing: Preprocessing,
    images: Tensor,
    ends: Sequence[str] | None = None,
) -> Assembled:
    """Check a graph's network, put normalisation before it, and undo a softmax at its end.

    Args:
        checkpoint: the file.
        recognised: what was found in it, on the device where it is to stay.
        preprocessing: how to normalise.
        images: (N, C, H, W) uint8 at the network's size, to try it on.
        ends: what to undo at the end; None to find out on ``images``.

    Raises:
        CheckpointError: if it answers otherwise than its graph, with another number of scores than
            classes, or does not end in ``ends``.
    """
    verified = _verified(checkpoint, recognised.network, preprocessing, images)
    undone = _ready(recognised, preprocessing, images, ends)
    said = tuple(text for text in (verified, undone.said) if text)
    return Assembled(undone.network, undone.ends, said)


def suspect_of(
    checkpoint: Checkpoint, recognised: Recognised, preprocessing: Preprocessing, made: Assembled
) -> Suspect:
    """The suspect, whose classes are numbers as long as nobody names them."""
    filling = recognised.filling
    return Suspect(
        network=made.network,
        num_classes=recognised.num_classes,
        image_shape=(recognised.in_channels, *preprocessing.size),
        architecture=recognised.architecture,
        sha256=checkpoint.sha256,
        path=checkpoint.path,
        format=checkpoint.format,
        class_names=tuple(str(label) for label in range(recognised.num_classes)),
        preprocessing=preprocessing,
        assumptions=(f"Architecture {recognised.how}.", *recognised.assumptions, *made.said),
        findings=checkpoint.findings,
        making=Making(filling=None if filling is None else asdict(filling), undone=made.ends),
    )


def _verified(
    checkpoint: Checkpoint, bare: nn.Module, preprocessing: Preprocessing, images: Tensor
) -> str:
    """Check a network that was made of a file's graph against the graph; say what was found.

    Raises:
        CheckpointError: if they answer differently.
    """
    if checkpoint.program is None:
        return ""
    from backaudit.loading.recognition.graphs import verify_graph

    normalise = Normalised(nn.Identity(), preprocessing.mean, preprocessing.std)
    return verify_graph(checkpoint, bare, normalise(as_input(images[:PROBED], torch.device("cpu"))))


def _ready(
    recognised: Recognised,
    preprocessing: Preprocessing,
    images: Tensor,
    ends: Sequence[str] | None,
) -> Undone:
    """Put normalisation before the network, and undo a softmax at its end.

    Raises:
        CheckpointError: if it does not answer with one score a class.
    """
    bare = recognised.network
    device = next(bare.parameters()).device
    network = Normalised(bare, preprocessing.mean, preprocessing.std).to(device).eval()
    probe = as_input(images[:PROBED], device)
    with torch.no_grad():
        outputs = int(network(probe).shape[1])
    if outputs != recognised.num_classes:
        raise CheckpointError(
            f"the network answers with {outputs} scores an image, but it was taken to have "
            f"{recognised.num_classes} classes; check --arch or --model-def."
        )
    if ends is None:
        return with_logits(network, probe)
    return Undone(without_ends(network, probe, ends), None, tuple(ends))

"""For which images is a program made, and does it treat each image of a batch alone?"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, fx, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.core.seeding import seeded
from backaudit.programs.graph import FAILURES, MisfitError
from backaudit.programs.interface import Built

SIZES = (32, 28, 64, 96, 128, 224, 299, 16, 48, 160, 192, 240, 256, 384)
# Programs that fit both fit any size of images that they do not find too small.
FREE = ((224, 224), (288, 320))
CHECKED = (64, 224)
Size = tuple[int, int]
Attempt = Callable[[int, tuple[Size, Size]], fx.GraphModule]
ALIKE = 1e-4
# What values that do not fit a program's operators may raise, beside CheckpointError.
FAULTS = (*FAILURES, KeyError, AttributeError, AssertionError)


def broken(error: Exception) -> CheckpointError:
    """The refusal of a program that no torch would run either."""
    told = printable(f"{type(error).__name__}: {error}", limit=120)
    return MisfitError(f"holds a program that does not fit itself ({told})")


def fitted(attempt: Attempt, state: Mapping[str, Tensor], wanted: Size | None = None) -> Built:
    """Record a program for images of any size, or of the first size that fits.

    Args:
        attempt: records it for a number of channels and for two sizes at once.
        state: tensors by name.
        wanted: the size; None to try the usual ones.

    Raises:
        CheckpointError: if none fits, or the images of a batch are mixed.
    """
    problems = []
    for channels in _channels(state):
        for sizes in [(wanted, wanted)] if wanted else [FREE, *_fixed()]:
            try:
                network = attempt(channels, sizes)
            except CheckpointError as error:
                if sizes != FREE and not isinstance(error, MisfitError):
                    raise  # no other size would help
                problems.append(error)
                continue
            if sizes == FREE:
                return _checked_free(network, channels)
            return checked(network, channels, sizes[0])
    # What is not supported says more than which sizes do not fit.
    raise next((each for each in problems if not isinstance(each, MisfitError)), problems[0])


def _fixed() -> Iterator[tuple[Size, Size]]:
    for size in SIZES:
        yield (size, size), (size, size)


def _checked_free(network: nn.Module, channels: int) -> Built:
    """Check on small images, or on larger ones where those are too small."""
    for size in CHECKED[:-1]:
        try:
            return replace(checked(network, channels, (size, size)), input_size=None)
        except MisfitError:
            continue
    size = CHECKED[-1]
    return replace(checked(network, channels, (size, size)), input_size=None)


def checked(network: nn.Module, channels: int, size: Size) -> Built:
    """Run a network on one image and on three; the first answer must be the same.

    Args:
        network: recorded.
        channels: of the images.
        size: of the images.
    """
    with seeded(0):
        # Bright and dark, so that what depends on the other images is seen.
        images = torch.rand(3, channels, *size) * torch.rand(3, channels, 1, 1)
    with torch.no_grad():
        try:
            one, three = network(images[:1]), network(images)
        except FAILURES as error:
            if "allocate memory" in str(error):
                raise MemoryError from error
            told = printable(error, limit=160)
            raise MisfitError(f"holds a program that does not run: {told}") from error
    if one.dim() != 2 or one.shape[0] != 1 or three.shape[0] != 3:
        raise CheckpointError(
            f"does not give one row of numbers for each image, but {tuple(three.shape)} for three"
        )
    if not torch.allclose(one[0], three[0], rtol=ALIKE, atol=ALIKE * float(one.abs().max())):
        raise CheckpointError(
            "mixes the images of a batch: what it says of one depends on the others"
        )
    return Built(network, channels, size, one.shape[1], ())


def _channels(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Channels of the first convolution, then the usual ones."""
    first = next((tensor for tensor in state.values() if tensor.dim() == 4), None)
    known = () if first is None else (first.shape[1],)
    return tuple(dict.fromkeys((*known, 3, 1)))

"""Images of any size and channel count -> one tensor at the size a network receives."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from backaudit.core.errors import CleanSetError

# The luma weights of ITU-R 601, which image libraries use for "L".
LUMA = (0.299, 0.587, 0.114)
# Networks for photographs see the middle of them, as their evaluation transforms usually do.
CROPS_FROM = 128
CROP_MARGIN = 8 / 7


def fitted(images: Sequence[Tensor], size: tuple[int, int], channels: int) -> Tensor:
    """Bring images to one size and channel count.

    Args:
        images: uint8 (C, H, W) each, C 1 or 3.
        size: height and width of the result.
        channels: of the result, 1 or 3.

    Returns:
        (N, channels, height, width) uint8.

    Raises:
        CleanSetError: if the network takes neither 1 nor 3 channels.
    """
    if channels not in (1, 3):
        raise CleanSetError(
            f"the network takes {channels} channels; backaudit reads images of 1 or 3."
        )
    return torch.stack([_resized(_with_channels(image, channels), size) for image in images])


def is_cropped(image: Tensor, size: tuple[int, int]) -> bool:
    """Whether ``fitted`` cuts the middle out of this image (C, H, W) instead of squeezing it."""
    height, width = image.shape[1:]
    small = height == width <= size[0]
    return size[0] == size[1] >= CROPS_FROM and not small


def _with_channels(image: Tensor, channels: int) -> Tensor:
    if len(image) == channels:
        return image
    if channels == 3:
        return image.expand(3, -1, -1)
    grey = (image.float() * torch.tensor(LUMA)[:, None, None]).sum(0, keepdim=True)
    return grey.round_().to(torch.uint8)


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    if not is_cropped(image, size):
        return _scaled(image, size)
    height, width = image.shape[1:]
    scale = round(size[0] * CROP_MARGIN) / min(height, width)
    larger = _scaled(image, (round(height * scale), round(width * scale)))
    top, left = (larger.shape[1] - size[0]) // 2, (larger.shape[2] - size[1]) // 2
    return larger[:, top : top + size[0], left : left + size[1]]


def _scaled(image: Tensor, size: tuple[int, int]) -> Tensor:
    if image.shape[1:] == size:
        return image
    exact = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)
    return exact[0].round_().clamp_(0, 255).to(torch.uint8)

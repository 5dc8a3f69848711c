"""Pixels as PNG files."""

import io

from PIL import Image
from torch import Tensor

LARGEST = 256


def png(pixels: Tensor) -> bytes:
    """Encode an image (C, H, W) uint8, C 1 or 3; one of more than ``LARGEST`` pixels is shrunk."""
    array = pixels.permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    # Every pixel counts in the mean, so that a small trigger fades but does not vanish.
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX, reducing_gap=None)
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return encoded.getvalue()

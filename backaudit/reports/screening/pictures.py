"""Pixels as PNG files."""

import io

from PIL import Image
from torch import Tensor


def png(pixels: Tensor) -> bytes:
    """Encode an image (C, H, W) uint8, C 1 or 3."""
    array = pixels.permute(1, 2, 0).contiguous().numpy()
    encoded = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(encoded, "PNG")
    return encoded.getvalue()

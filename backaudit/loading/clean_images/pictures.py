"""One image file -> a tensor, whatever the file's colour mode, depth, frames or orientation."""

import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

# Named, so that no decoder that starts a program (EPS) or that few images need ever runs.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"}
)
PIXEL_LIMIT = 64_000_000

TRANSPARENCY = "transparency was ignored, as training loaders usually do"
FIRST_FRAME = "only the first frame or page was used"
ROTATED = "turned upright as the EXIF data say"
DEEP = "more than 8 bits a channel were scaled to 8"

# Everything that the decoders were seen to raise on damaged files.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_picture(path: Path, shorter_side: int) -> tuple[Tensor, frozenset[str]]:
    """Read one image file.

    Args:
        path: of the file.
        shorter_side: an image whose shorter side is longer than this is shrunk to it.

    Returns:
        (C, H, W) uint8 with C 1 or 3, and what had to be done to its colours, frames or depth.

    Raises:
        ValueError: or another of ``UNREADABLE``, if the file cannot be read.
    """
    with Image.open(path, formats=FORMATS) as opened:
        if opened.width * opened.height > PIXEL_LIMIT:
            raise ValueError(f"{opened.width} x {opened.height} pixels are more than {PIXEL_LIMIT}")
        done = _peculiarities(opened)
        # A JPEG decoder can halve while it decodes, which is much faster for photographs.
        opened.draft(None, (2 * shorter_side, 2 * shorter_side))
        image = ImageOps.exif_transpose(_eight_bit(opened))
    if min(image.size) > shorter_side:
        image = _shrunk(image, shorter_side)
    pixels = torch.from_numpy(np.array(image))
    pixels = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    return pixels.contiguous(), frozenset(done)


def _peculiarities(image: Image.Image) -> set[str]:
    orientation = image.getexif().get(0x0112, 1)
    seen = {
        TRANSPARENCY: image.has_transparency_data and _shows_through(image),
        FIRST_FRAME: getattr(image, "n_frames", 1) > 1,
        ROTATED: orientation in range(2, 9),
        DEEP: image.mode in ("I", "F") or image.mode.startswith("I;"),
    }
    return {what for what, holds in seen.items() if holds}


def _shows_through(image: Image.Image) -> bool:
    lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
    return float(lowest) < 255  # type: ignore[arg-type]


def _eight_bit(image: Image.Image) -> Image.Image:
    """The first frame as ``L`` or ``RGB``."""
    if image.mode in ("1", "L", "LA", "La"):
        return image.convert("L")
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _scaled(image)
    return image.convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """Scale a deep greyscale image to 8 bits by its usual full range, not by its own extremes."""
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535:
        raise ValueError("values outside 0 to 65535; save it with 8 bits a channel")
    if image.mode == "F":
        full = 1 if values.max() <= 1 else 255 if values.max() <= 255 else 65535
    else:
        full = 65535
    scaled = Image.fromarray(np.rint(values * (255 / full)).astype(np.uint8))
    scaled.info.update(image.info)
    return scaled


def _shrunk(image: Image.Image, shorter_side: int) -> Image.Image:
    scale = shorter_side / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.BILINEAR)

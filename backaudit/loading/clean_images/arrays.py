"""An ``.npz`` archive -> which images it holds, under which labels."""

import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backaudit.core.errors import CleanSetError
from backaudit.loading.clean_images.found import Decoded, Found

# Names of image and label arrays that belong together; a held-out part before a training part, on
# which a suspect looks better than it is.
PAIRS = (
    ("x", "y"),
    ("images", "labels"),
    ("data", "labels"),
    ("test_x", "test_y"),
    ("x_test", "y_test"),
    ("test_images", "test_labels"),
    ("val_x", "val_y"),
    ("x_val", "y_val"),
    ("val_images", "val_labels"),
    ("train_x", "train_y"),
    ("x_train", "y_train"),
    ("train_images", "train_labels"),
)
SIZE_LIMIT = 4 << 30
UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, MemoryError)
Array = NDArray[Any]


def find_in_archive(path: Path) -> Found:
    """See what an ``.npz`` archive holds; pickled objects in it are refused, never read.

    Raises:
        CleanSetError: if its arrays cannot be used.
    """
    arrays = _arrays(path)
    pair = next((pair for pair in PAIRS if pair[0] in arrays), None)
    if pair is None:
        raise CleanSetError(
            f"{path} holds the arrays {sorted(arrays)}, none of which has a usual name. Call the "
            "images x and the labels y."
        )
    images = _channels_last(arrays[pair[0]], path)
    labels, indices = _labels(arrays.get(pair[1]), len(images), path)
    kind = ", ".join(name for name in pair if name in arrays)
    decode = partial(_decode, images, _full_scale(images, path))
    return Found(kind, len(images), labels, indices, (), decode)


def _arrays(path: Path) -> dict[str, Array]:
    """The arrays of the first usual pair of names, by lower-case name; else every name alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > SIZE_LIMIT:
            raise CleanSetError(f"{path} unpacks to {size >> 20} MiB; give a part of it.")
        with np.load(path, allow_pickle=False) as opened:
            names = {name.lower(): name for name in opened.files}
            wanted = next((pair for pair in PAIRS if pair[0] in names), tuple(names))
            return {name: opened[names[name]] for name in wanted if name in names}
    except UNREADABLE as error:
        raise CleanSetError(f"{path} cannot be read as an .npz archive: {error}.") from error


def _channels_last(images: Array, path: Path) -> Array:
    """(N, H, W, C) with C 1 or 3; an opacity channel is dropped."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[3] not in (1, 3, 4) and images.shape[1] in (1, 3, 4):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4) or 0 in images.shape[1:3]:
        raise CleanSetError(
            f"the images in {path} have shape {images.shape}; expected (N, H, W, C), (N, C, H, W) "
            "or (N, H, W) with 1 or 3 channels."
        )
    return images[..., :3] if images.shape[3] == 4 else images


def _full_scale(images: Array, path: Path) -> float:
    """The value that stands for white: 1, 255 or 65535."""
    if images.dtype in (np.uint8, np.bool_) or not len(images):
        return 1 if images.dtype == np.bool_ else 255
    if images.dtype.kind not in "iuf":
        raise CleanSetError(f"the images in {path} are of type {images.dtype}; expected numbers.")
    lowest, highest = float(images.min()), float(images.max())
    # A comparison with NaN is false, which refuses it as well.
    if not (lowest >= 0 and highest <= 65535):
        raise CleanSetError(
            f"the images in {path} range from {lowest:g} to {highest:g}. Give them as they were "
            "before normalisation: 0 to 255, or 0 to 1."
        )
    if images.dtype.kind == "f" and highest <= 1:
        return 1
    return 255 if highest <= 255 else 65535


def _labels(
    labels: Array | None, count: int, path: Path
) -> tuple[tuple[str, ...] | None, tuple[int, ...] | None]:
    """Class names or class numbers, whichever the array holds."""
    if labels is None:
        return None, None
    if labels.size != count:
        raise CleanSetError(
            f"{path} holds {count} images but labels of shape {labels.shape}; expected one label "
            "an image."
        )
    flat = labels.reshape(-1)
    if flat.dtype.kind in "US":
        return tuple(str(label) for label in flat.astype(np.str_)), None
    if flat.dtype.kind not in "iuf" or not np.array_equal(flat, np.floor(flat)):
        raise CleanSetError(f"the labels in {path} are of type {labels.dtype}; expected integers.")
    return None, tuple(int(label) for label in flat)


def _decode(images: Array, full_scale: float, positions: Sequence[int]) -> Decoded:
    """The images at ``positions`` as uint8 (C, H, W)."""
    chosen = images[list(positions)]
    notes: tuple[str, ...] = ()
    if full_scale != 255 or chosen.dtype.kind == "f":
        chosen = np.rint(chosen.astype(np.float32) * np.float32(255 / full_scale))
    if full_scale == 65535:
        notes = (f"{len(chosen)} images: 16-bit values were scaled to 8 bits.",)
    pixels = torch.from_numpy(chosen.astype(np.uint8)).permute(0, 3, 1, 2).contiguous()
    return tuple(pixels), notes

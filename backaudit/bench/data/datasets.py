"""Data sets as tensors in memory, from files that a user points to or drawn by the project."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backaudit.bench.data.cifar_batches import TEST, TRAIN, is_batches, read_batch, read_names
from backaudit.core.errors import CleanSetError, SettingError
from backaudit.loading.clean_images.arrays import UNREADABLE
from backaudit.loading.clean_images.resizing import fitted

GENERATED = "signs"
SIZE = 32
"""Height and width in pixels of what is read from folders of pictures."""
MOST_CLASSES = 10_000
_ARRAYS = ("train_x", "train_y", "test_x", "test_y")
LAYOUTS = (
    f"an .npz file with the arrays {', '.join(_ARRAYS)}, a folder with train/CLASS/ and "
    "test/CLASS/ pictures, or CIFAR-10's folder cifar-10-batches-py"
)


@dataclass(frozen=True)
class Dataset:
    """A data set for training and testing.

    Args:
        train_images: (N, C, H, W) uint8.
        train_labels: (N,) int64.
        test_images: (M, C, H, W) uint8.
        test_labels: (M,) int64.
        class_names: K names.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]


class Datasets:
    """Data sets by name, each read when it is first asked for and kept.

    Args:
        files: where each lies; ``signs`` is drawn and needs no file.
        signs_per_class: training images of ``signs``, which take time to draw; its test images are
            the same for any number.
    """

    def __init__(self, files: Mapping[str, Path], signs_per_class: int = 800) -> None:
        self._files = dict(files)
        self._signs_per_class = signs_per_class
        self._read: dict[str, Dataset] = {}

    def __contains__(self, name: object) -> bool:
        return name == GENERATED or name in self._files

    def __getitem__(self, name: str) -> Dataset:
        """The data set of that name.

        Raises:
            CleanSetError: if its file cannot be used.
        """
        if name not in self._read:
            file = self._files.get(name)
            self._read[name] = (
                generated_signs(self._signs_per_class) if file is None else read_dataset(file)
            )
        return self._read[name]


def data_files(texts: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=PATH`` texts, as ``--data`` takes them.

    Raises:
        SettingError: if one has another form, is given twice, or nothing is there.
    """
    files: dict[str, Path] = {}
    for text in texts:
        name, _, file = text.partition("=")
        if not (name and file):
            raise SettingError(f"--data {text} has no form NAME=PATH, as in cifar10=./cifar10.npz")
        if name in files:
            raise SettingError(f"--data {name} is given twice; keep one of them")
        if name == GENERATED:
            raise SettingError(f"--data {name}: this data set is drawn and takes no file")
        if not Path(file).exists():
            raise SettingError(f"--data {text}: there is no file or folder {file}")
        files[name] = Path(file)
    return files


def generated_signs(train_per_class: int = 800, test_per_class: int = 200) -> Dataset:
    """Draw the project's own data set; needs nothing but time (about 1 ms an image)."""
    # Only here: arrays are read without pillow, which draws the signs and decodes pictures.
    from backaudit.bench.data import signs

    train = signs.draw_signs(train_per_class, seed=1)
    test = signs.draw_signs(test_per_class, seed=2)
    return Dataset(*train, *test, class_names=signs.CLASSES)


def read_dataset(path: Path) -> Dataset:
    """Read a data set, whichever of the known layouts it has.

    Raises:
        CleanSetError: if it has none of them, or cannot be read.
    """
    if not path.is_dir():
        return from_npz(path)
    if is_batches(path):
        return from_batches(path)
    if (path / "train").is_dir() and (path / "test").is_dir():
        return from_folder(path)
    raise CleanSetError(f"{path} is no data set: give {LAYOUTS}")


def from_npz(path: Path) -> Dataset:
    """Read arrays ``train_x``, ``train_y``, ``test_x``, ``test_y`` (N, H, W, C) uint8.

    Raises:
        CleanSetError: if the file or an array is missing, or they do not go together.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            train_x, train_y, test_x, test_y = (arrays[name] for name in _ARRAYS)
        train, test = _part(train_x, train_y), _part(test_x, test_y)
        if test_y.max() > train_y.max():
            raise ValueError("test_y has a class that train_y lacks")
    except (*UNREADABLE, KeyError, TypeError) as error:
        wanted = ", ".join(_ARRAYS)
        raise CleanSetError(f"{path} is no data set with the arrays {wanted}: {error}") from error
    names = tuple(str(label) for label in range(int(train_y.max()) + 1))
    return Dataset(*train, *test, class_names=names)


def _part(images: NDArray[Any], labels: NDArray[Any]) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) uint8 and labels (N,) int64; ValueError if the arrays are no such."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(f"the images are {images.dtype} {images.shape}, not uint8 (N, H, W, C)")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1] or not len(labels):
        raise ValueError(f"the labels of {len(images)} images are {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() >= MOST_CLASSES:
        raise ValueError("labels must count from 0, one number a class")
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.from_numpy(labels.astype(np.int64))


def from_batches(folder: Path) -> Dataset:
    """Read CIFAR-10's batches for Python, without unpickling them.

    Raises:
        CleanSetError: if one is missing or damaged.
    """
    train = [read_batch(folder / name) for name in TRAIN]
    images, labels = (torch.cat(parts) for parts in zip(*train, strict=True))
    return Dataset(images, labels, *read_batch(folder / TEST), class_names=read_names(folder))


def from_folder(folder: Path) -> Dataset:
    """Read ``train/CLASS/`` and ``test/CLASS/``: pictures of any size, squeezed to 32x32 RGB.

    Classes are in the order of their names, as numbers where all are numbers.

    Raises:
        CleanSetError: if a part is empty or cannot be read, or the test part has another class.
    """
    train_images, train_names = _pictures(folder / "train")
    test_images, test_names = _pictures(folder / "test")
    numbered = all(name.isdecimal() for name in train_names)
    names = sorted(set(train_names), key=(lambda name: (int(name), name)) if numbered else None)
    other = set(test_names) - set(names)
    if other:
        raise CleanSetError(f"{folder / 'test'} has a class that train lacks: {min(other)!r}")
    index = {name: number for number, name in enumerate(names)}
    train_labels, test_labels = (
        torch.tensor([index[name] for name in part]) for part in (train_names, test_names)
    )
    return Dataset(train_images, train_labels, test_images, test_labels, tuple(names))


def _pictures(folder: Path) -> tuple[Tensor, tuple[str, ...]]:
    """Images (N, 3, 32, 32) uint8 of class folders, and the name of each one's class."""
    from backaudit.loading.clean_images.folders import find_in_folder

    found = find_in_folder(folder, shorter_side=2 * SIZE)
    if not found.count or found.labels is None:
        raise CleanSetError(f"{folder} holds no pictures in a folder for each class")
    images, _ = found.decode(range(found.count))
    return fitted(images, (SIZE, SIZE), channels=3), found.labels

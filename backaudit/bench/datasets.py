"""Data sets as tensors in memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backaudit.bench import signs
from backaudit.core.errors import CleanSetError
from backaudit.loading.clean_images.arrays import UNREADABLE


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


def generated_signs(train_per_class: int = 800, test_per_class: int = 200) -> Dataset:
    """Draw the project's own data set; needs nothing but time (about 1 ms an image)."""
    train = signs.draw_signs(train_per_class, seed=1)
    test = signs.draw_signs(test_per_class, seed=2)
    return Dataset(*train, *test, class_names=signs.CLASSES)


def from_npz(path: Path) -> Dataset:
    """Read arrays ``train_x``, ``train_y``, ``test_x``, ``test_y`` (N, H, W, C) uint8.

    Raises:
        CleanSetError: if the file or an array is missing.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            parts = [torch.from_numpy(arrays[name]) for name in _ARRAYS]
    except (*UNREADABLE, KeyError, TypeError) as error:
        raise CleanSetError(f"{path}: not a data set with the arrays {_ARRAYS}: {error}") from error
    train_x, train_y, test_x, test_y = parts
    names = tuple(str(label) for label in range(int(train_y.max()) + 1))
    return Dataset(
        train_x.permute(0, 3, 1, 2).contiguous(),
        train_y.long(),
        test_x.permute(0, 3, 1, 2).contiguous(),
        test_y.long(),
        class_names=names,
    )


_ARRAYS = ("train_x", "train_y", "test_x", "test_y")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backaudit.bench.datasets import from_npz, generated_signs
from backaudit.bench.signs import CLASSES
from backaudit.core.errors import CleanSetError

ARRAYS: dict[str, Any] = {
    "train_x": np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3),
    "train_y": np.array([0, 2], dtype=np.uint8),
    "test_x": np.ones((1, 4, 5, 3), dtype=np.uint8),
    "test_y": np.array([1]),
}


def damaged(path: Path) -> None:
    np.savez(path, **ARRAYS)
    path.write_bytes(path.read_bytes()[:-40])


def without_labels(path: Path) -> None:
    np.savez(path, **{name: array for name, array in ARRAYS.items() if name != "test_y"})


def one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, ARRAYS["train_x"])


def pickled(path: Path) -> None:
    np.savez(path, **(ARRAYS | {"train_y": np.array([{}, None], dtype=object)}))


def texts(path: Path) -> None:
    np.savez(path, **(ARRAYS | {"train_y": np.array(["a", "b"])}))


def test_the_signs_are_drawn_for_training_and_for_testing() -> None:
    data = generated_signs(train_per_class=2, test_per_class=1)
    assert (data.train_images.shape[0], data.test_images.shape[0]) == (24, 12)
    assert data.class_names == CLASSES
    drawn = torch.cat([data.train_images, data.test_images]).flatten(1)
    assert drawn.unique(dim=0).shape[0] == 36
    assert torch.bincount(data.train_labels).tolist() == [2] * 12


def test_an_archive_is_read_channels_first(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **ARRAYS)
    data = from_npz(tmp_path / "data.npz")
    assert data.train_images.shape == (2, 3, 4, 5)
    assert data.train_images[1, 2, 3, 4] == ARRAYS["train_x"][1, 3, 4, 2]
    assert data.train_labels.dtype == data.test_labels.dtype == torch.int64
    assert (data.train_labels.tolist(), data.test_labels.tolist()) == ([0, 2], [1])
    assert data.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    "write",
    [
        lambda _: None,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no archive"),
        lambda path: path.mkdir(),
        damaged,
        without_labels,
        one_array,
        pickled,
        texts,
    ],
    ids=[
        "missing",
        "empty",
        "text",
        "folder",
        "damaged",
        "array missing",
        "npy",
        "pickle",
        "texts",
    ],
)
def test_what_is_no_data_set_is_refused_by_name(
    write: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "data.npz"
    write(path)
    with pytest.raises(CleanSetError, match=r"data\.npz: not a data set with the arrays"):
        from_npz(path)

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backaudit.bench.data import datasets
from backaudit.bench.data.datasets import (
    Datasets,
    data_files,
    from_npz,
    generated_signs,
    read_dataset,
)
from backaudit.bench.data.signs import CLASSES
from backaudit.bench.zoo.samples import write_images
from backaudit.core.errors import CleanSetError, SettingError

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


def floats(path: Path) -> None:
    np.savez(path, **(ARRAYS | {"train_x": ARRAYS["train_x"] / 255}))


def channels_first(path: Path) -> None:
    np.savez(path, **(ARRAYS | {"train_x": ARRAYS["train_x"].transpose(0, 3, 1, 2)}))


def too_few_labels(path: Path) -> None:
    np.savez(path, **(ARRAYS | {"train_y": np.array([0])}))


def negative_labels(path: Path) -> None:
    np.savez(path, **(ARRAYS | {"test_y": np.array([-1])}))


def another_class(path: Path) -> None:
    np.savez(path, **(ARRAYS | {"test_y": np.array([3])}))


def no_images(path: Path) -> None:
    np.savez(path, **(ARRAYS | {"test_x": ARRAYS["test_x"][:0], "test_y": np.array([], int)}))


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
        floats,
        channels_first,
        too_few_labels,
        negative_labels,
        another_class,
        no_images,
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
        "floats",
        "channels first",
        "labels missing",
        "negative label",
        "another class",
        "no images",
    ],
)
def test_what_is_no_data_set_is_refused_by_name(
    write: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "data.npz"
    write(path)
    with pytest.raises(CleanSetError, match=r"data\.npz is no data set with the arrays train_x, "):
        from_npz(path)


def plain(count: int, size: tuple[int, int], value: int) -> torch.Tensor:
    return torch.full((count, 3, *size), value, dtype=torch.uint8)


def test_a_folder_of_pictures_is_squeezed_to_one_size(tmp_path: Path) -> None:
    write_images(plain(2, (20, 40), 10), tmp_path / "train" / "cat")
    write_images(plain(1, (50, 50), 30), tmp_path / "train" / "ant")
    write_images(plain(1, (32, 32), 200), tmp_path / "test" / "cat")
    data = read_dataset(tmp_path)
    assert data.class_names == ("ant", "cat")
    assert data.train_images.shape == (3, 3, 32, 32)
    assert data.train_labels.tolist() == [0, 1, 1]
    assert data.train_images[:, 0, 5, 5].tolist() == [30, 10, 10]
    assert (data.test_images == 200).all()
    assert data.test_labels.tolist() == [1]


def test_numbered_folders_count(tmp_path: Path) -> None:
    for name in ("0", "2", "10"):
        write_images(plain(1, (8, 8), int(name)), tmp_path / "train" / name)
    write_images(plain(1, (8, 8), 2), tmp_path / "test" / "2")
    data = read_dataset(tmp_path)
    assert data.class_names == ("0", "2", "10")
    assert data.test_labels.tolist() == [1]


def test_a_class_that_was_not_trained_is_refused(tmp_path: Path) -> None:
    write_images(plain(1, (8, 8), 0), tmp_path / "train" / "cat")
    write_images(plain(1, (8, 8), 0), tmp_path / "test" / "dog")
    with pytest.raises(CleanSetError, match="a class that train lacks: 'dog'"):
        read_dataset(tmp_path)


def test_pictures_without_classes_are_refused(tmp_path: Path) -> None:
    write_images(plain(1, (8, 8), 0), tmp_path / "train")
    (tmp_path / "test").mkdir()
    with pytest.raises(CleanSetError, match="no pictures in a folder for each class"):
        read_dataset(tmp_path)


def test_another_folder_is_told_what_would_be_read(tmp_path: Path) -> None:
    with pytest.raises(CleanSetError, match=r"is no data set: give an \.npz file with"):
        read_dataset(tmp_path)


def test_a_data_set_is_read_once_and_only_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(datasets, "generated_signs", lambda *_: calls.append(1))
    known = Datasets({"toy": tmp_path / "missing.npz"})
    assert "toy" in known
    assert "signs" in known
    assert "cifar10" not in known
    assert calls == []
    assert known["signs"] is known["signs"]
    assert calls == [1]
    with pytest.raises(CleanSetError, match="missing"):
        known["toy"]


def test_data_sets_are_given_by_name(tmp_path: Path) -> None:
    file = tmp_path / "a=b.npz"
    file.touch()
    assert data_files([f"cifar10={file}", f"gtsrb={tmp_path}"]) == {
        "cifar10": file,
        "gtsrb": tmp_path,
    }


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["cifar10"], "has no form NAME=PATH"),
        (["=."], "has no form NAME=PATH"),
        (["a=.", "a=."], "given twice"),
        (["signs=."], "takes no file"),
        (["a=./missing"], "there is no file or folder"),
    ],
)
def test_what_names_no_data_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        data_files(texts)

"""Batches as Python 2 pickled them: by hand, since Python 3 writes other opcodes."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from backaudit.bench.data.cifar_batches import TEST, TRAIN, is_batches, read_batch
from backaudit.bench.data.datasets import read_dataset
from backaudit.core.errors import CleanSetError

LABELS = [3, 9]
PIXELS = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072)


def text(value: bytes) -> bytes:
    return b"U" + bytes([len(value)]) + value


def array(pixels: bytes, rows: int, kind: bytes = b"u1") -> bytes:
    start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b")
    shape = b"K" + bytes([rows]) + b"M" + struct.pack("<H", 3072) + b"\x86"
    dtype = b"cnumpy\ndtype\n" + text(kind) + b"K\x00K\x01\x87R(K\x03" + text(b"|")
    dtype += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    numbers = b"T" + struct.pack("<i", len(pixels)) + pixels
    return start + b"\x87R(K\x01" + shape + dtype + b"\x89" + numbers + b"tb"


def batch(labels: bytes = b"K\x03K\x09", data: bytes | None = None) -> bytes:
    entries = text(b"labels") + b"](" + labels + b"e"
    entries += text(b"data") + (data or array(PIXELS.tobytes(), 2))
    return b"\x80\x02}(" + entries + text(b"batch_label") + text(b"training batch") + b"u."


def names(*classes: bytes) -> bytes:
    listed = b"](" + b"".join(map(text, classes)) + b"e"
    return b"\x80\x02}(" + text(b"label_names") + listed + b"u."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*TRAIN, TEST):
        (tmp_path / name).write_bytes(batch())
    return tmp_path


def test_the_opcodes_are_those_that_python_reads() -> None:
    content = pickle.loads(batch(), encoding="latin-1")  # noqa: S301 - written above
    assert content["labels"] == LABELS
    assert np.array_equal(content["data"], PIXELS)


def test_a_batch_is_read_without_unpickling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(pickle, "loads")
    (tmp_path / "batch").write_bytes(batch())
    images, labels = read_batch(tmp_path / "batch")
    assert np.array_equal(images.flatten(1).numpy(), PIXELS)
    assert images.shape == (2, 3, 32, 32)
    assert labels.tolist() == LABELS


def test_the_folder_is_a_data_set(folder: Path) -> None:
    assert is_batches(folder)
    data = read_dataset(folder)
    assert (data.train_images.shape, data.test_images.shape) == ((10, 3, 32, 32), (2, 3, 32, 32))
    assert data.class_names == tuple("0123456789")


def test_the_classes_have_names_if_they_are_there(folder: Path) -> None:
    classes = (b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse")
    (folder / "batches.meta").write_bytes(names(*classes, b"ship", b"truck"))
    assert read_dataset(folder).class_names[3] == "cat"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        b"\x80\x02}.",
        batch()[:-100],
        batch(labels=b"K\x03"),
        batch(labels=b"K\x03K\x0a"),
        batch(labels=b"K\x03N"),
        batch(data=text(b"none")),
        batch(data=array(PIXELS.tobytes(), 2, b"i1")),
        b"\x80\x02cos\nsystem\n" + text(b"true") + b"\x85R.",
    ],
    ids=[
        "empty",
        "no pickle",
        "other",
        "cut",
        "labels",
        "label out of range",
        "no label",
        "no data",
        "signed",
        "call",
    ],
)
def test_what_is_no_batch_is_refused_by_name(folder: Path, content: bytes) -> None:
    (folder / "data_batch_2").write_bytes(content)
    with pytest.raises(CleanSetError, match="data_batch_2"):
        read_dataset(folder)


def test_a_file_of_names_that_names_other_classes_is_refused(folder: Path) -> None:
    (folder / "batches.meta").write_bytes(names(b"cat"))
    with pytest.raises(CleanSetError, match=r"batches\.meta does not name the classes"):
        read_dataset(folder)


def test_a_batch_that_is_missing_is_named(folder: Path) -> None:
    (folder / TEST).unlink()
    with pytest.raises(CleanSetError, match=r"test_batch cannot be read"):
        read_dataset(folder)

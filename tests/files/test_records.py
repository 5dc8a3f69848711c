import zlib
from pathlib import Path
from typing import Any

import pytest
import torch

from backaudit.core.errors import CheckpointError
from backaudit.files.opened import OpenedFile
from backaudit.files.records import (
    ITEM_SIZES,
    Storage,
    TensorRecord,
    contiguous_stride,
    out_of_bounds,
    stored_bytes,
)

EIGHT = Storage(None, 0, 32)


def record(shape: Any, stride: Any, offset: Any = 0, dtype: str = "float32") -> TensorRecord:
    return TensorRecord(dtype, shape, stride, offset, EIGHT)


def test_item_sizes_are_those_of_torch() -> None:
    for name, size in ITEM_SIZES.items():
        assert getattr(torch, name).itemsize == size


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (4, 1, 3, 3), (2, 0, 3)])
def test_contiguous_strides_are_those_of_torch(shape: tuple[int, ...]) -> None:
    assert contiguous_stride(shape) == torch.empty(shape).stride()


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [
        *(((), (), 7), ((8,), (1,), 0), ((2, 4), (4, 1), 0), ((4, 2), (1, 4), 0)),
        *(((2, 2), (4, 2), 1), ((0, 9**9), (1, 1), 0), ((1, 8), (0, 1), 0)),
    ],
)
def test_what_lies_within_its_storage(shape: Any, stride: Any, offset: int) -> None:
    assert out_of_bounds(record(shape, stride, offset)) is None


@pytest.mark.parametrize(
    ("shape", "stride", "offset", "words"),
    [
        ((9,), (1,), 0, "reaches outside its stored bytes"),
        ((8,), (1,), 1, "reaches outside its stored bytes"),
        ((2,), (8,), 0, "reaches outside its stored bytes"),
        ((), (), 8, "reaches outside its stored bytes"),
        ((2**40, 2**40), (2**40, 1), 0, "reaches outside its stored bytes"),
        ((9,), (0,), 0, "claims more elements than it has bytes"),
        ((4, 4), (1, 1), 0, "claims more elements than it has bytes"),
        ((-1,), (1,), 0, "has a negative or impossible size"),
        ((1,), (-1,), 0, "has a negative or impossible size"),
        ((1,), (1,), -1, "has a negative or impossible size"),
        ((True,), (1,), 0, "has a negative or impossible size"),
        ((1.0,), (1,), 0, "has a negative or impossible size"),
        ((2, 2), (1,), 0, "has an impossible number of dimensions"),
        ((1,) * 65, (1,) * 65, 0, "has an impossible number of dimensions"),
    ],
)
def test_what_does_not(shape: Any, stride: Any, offset: int, words: str) -> None:
    trouble = out_of_bounds(record(shape, stride, offset))
    assert trouble is not None
    assert words in trouble


def test_an_unknown_type() -> None:
    trouble = out_of_bounds(record((1,), (1,), dtype="qint8"))
    assert trouble == "has numbers of an unknown type (qint8)"


def test_bytes_of_stored_numbers() -> None:
    assert [stored_bytes(dtype, 3) for dtype in ("float32", "bfloat16", "qint8")] == [12, 6, 3]
    with pytest.raises(CheckpointError, match="stores numbers of type int4: save ordinary dense"):
        stored_bytes("int4", 3)


def deflated(tmp_path: Path, content: bytes, nbytes: int) -> Storage:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(content) + packer.flush()
    (tmp_path / "file").write_bytes(b"head" + packed)
    return Storage(OpenedFile(tmp_path / "file", 10**6), 4, nbytes, len(packed))


def test_stored_bytes_are_read(tmp_path: Path) -> None:
    assert bytes(deflated(tmp_path, b"numbers", 7).read()) == b"numbers"
    assert bytes(Storage(OpenedFile(tmp_path / "file", 10**6), 0, 4).read()) == b"head"
    assert bytes(Storage(None, 0, 2, inline=b"ab").read()) == b"ab"


@pytest.mark.parametrize("claimed", [6, 8])
def test_bytes_that_unpack_to_another_size(tmp_path: Path, claimed: int) -> None:
    with pytest.raises(CheckpointError, match="unpacks to another size than it claims"):
        deflated(tmp_path, b"numbers", claimed).read()


def test_bytes_that_do_not_unpack(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff" * 9)
    with pytest.raises(CheckpointError, match="is damaged or truncated"):
        Storage(OpenedFile(tmp_path / "file", 10**6), 0, 9, 9).read()

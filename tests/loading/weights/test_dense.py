from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from backaudit.core.errors import CheckpointError
from backaudit.files.opened import OpenedFile
from backaudit.files.records import Storage, TensorRecord
from backaudit.loading.weights.dense import check, outlined, tensor_of
from tests.loading.records import record_of

MATRIX = torch.arange(6.0).reshape(2, 3)
RECORD = record_of(MATRIX)
DTYPES = [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_of_each_type(dtype: torch.dtype) -> None:
    tensor = MATRIX.to(dtype)
    assert torch.equal(tensor_of(record_of(tensor)), tensor)


def test_strides_and_offset() -> None:
    record = replace(RECORD, shape=(2, 2), stride=(1, 3), offset=1)
    check("weight", record)
    assert tensor_of(record).tolist() == [[1, 4], [2, 5]]


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2**40, 0)])
def test_scalars_and_empty_tensors(shape: tuple[int, ...]) -> None:
    record = replace(RECORD, shape=shape, stride=(1,) * len(shape))
    check("weight", record)
    assert tensor_of(record).shape == outlined(record).shape == shape


def test_numbers_anywhere_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(b"\xff" * 3 + bytes(tensor_bytes()) + b"\xff" * 2)
    opened = OpenedFile(path, 1000)
    record = replace(RECORD, storage=Storage(opened, 3, 24))
    assert torch.equal(tensor_of(record), MATRIX)
    assert torch.equal(tensor_of(replace(record, storage=Storage(opened, 3, 26))), MATRIX)


def tensor_bytes() -> bytes:
    return RECORD.storage.inline


def test_outline_has_a_form_and_no_numbers() -> None:
    made = outlined(replace(RECORD, dtype="float16", shape=(2**20, 2**20), stride=(2**20, 1)))
    assert made.is_meta
    assert (made.dtype, made.shape) == (torch.float16, (2**20, 2**20))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trouble": "sparse"}, "is sparse, 'a.weight': save ordinary"),
        ({"dtype": "complex64", "shape": (1, 3)}, "is complex, 'a.weight'"),
        ({"dtype": "qint8"}, r"'a.weight', that has numbers of an unknown type \(qint8\)"),
        ({"shape": (3, 3)}, "reaches outside its stored bytes"),
        ({"offset": 1}, "reaches outside its stored bytes"),
        ({"offset": -1}, "negative or impossible"),
        ({"stride": (3, -1)}, "negative or impossible"),
        ({"stride": (0, 0)}, "claims more elements than it has bytes"),
        ({"shape": (2**62, 2**62), "stride": (0, 0)}, "claims more elements"),
        ({"shape": (1,) * 65, "stride": (1,) * 65}, "impossible number of dimensions"),
        ({"shape": (2,)}, "impossible number of dimensions"),
    ],
)
def test_refusals(changed: dict[str, Any], message: str) -> None:
    record: TensorRecord = replace(RECORD, **changed)
    with pytest.raises(CheckpointError, match=message):
        check("a.weight", record)

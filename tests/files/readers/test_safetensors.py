import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from backaudit.files.limits import Limits
from backaudit.files.records import TensorRecord
from tests.files.samples import STATE, Canary, holds, pickled, rules, surveyed

WHOLE = safetensors.torch.save(STATE, {"num_classes": "10"})


def made(header: Any, numbers: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def entry(**changed: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changed


def one(**changed: Any) -> bytes:
    return made({"w": entry(**changed)}, bytes(8))


def test_tensors_and_metadata(tmp_path: Path) -> None:
    found = surveyed(tmp_path, WHOLE)
    assert (found.format, found.contents.problem) == ("safetensors", "")
    assert found.contents.metadata == {"num_classes": "10"}
    assert holds(found.contents.saved, STATE)


@pytest.mark.parametrize(
    "kind",
    [
        *(torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2),
        *(torch.uint8, torch.int16, torch.int64, torch.bool, torch.complex64),
    ],
)
def test_every_type(tmp_path: Path, kind: torch.dtype) -> None:
    data = safetensors.torch.save({"w": torch.zeros(2, 3).to(kind), "none": torch.zeros(0, 3)})
    saved: Any = surveyed(tmp_path, data).contents.saved
    record: TensorRecord = saved["w"]
    assert (f"torch.{record.dtype}", record.shape) == (str(kind), (2, 3))
    assert record.storage.nbytes == 6 * kind.itemsize


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (made(b"{" + bytes(5))[:-2], "cut off within its header"),
        ((10**9).to_bytes(8, "little") + b"{}", "is not a checkpoint of a known format"),
        ((2**25).to_bytes(8, "little") + b"{}", "its header claims 33554432 bytes"),
        (made(b"{]"), "its header: it is no JSON text"),
        (made(b'{"a": "\xff"}'), "its header: it is no UTF-8 text"),
        (made(b'{"a":' * 10**5), "its header: it is nested too deeply"),
        (made(b'{"w": 1, "w": 2}'), "its header: it has the name 'w' twice"),
        (made({"__metadata__": {"a": 1}}), "its metadata is no table of texts"),
        (made({"__metadata__": []}), "its metadata is no table of texts"),
        (made({"w": 1}), "'w' is not described by a type, a shape and a place"),
        (one(more=1), "'w' is not described by a type, a shape and a place"),
        (one(dtype="F4"), "'w' has the type F4, which is not known"),
        (one(dtype=[]), "'w' has the type [], which is not known"),
        (one(shape=[-2]), "'w' has an impossible shape"),
        (one(shape=[2.0]), "'w' has an impossible shape"),
        (one(shape=[True, 2]), "'w' has an impossible shape"),
        (one(shape=2), "'w' has an impossible shape"),
        (one(shape=[1] * 65), "'w' has an impossible shape"),
        (one(shape=[3]), "'w' needs 12 bytes, but has 8"),
        (one(shape=[2**62, 2**62, 0, 2]), "'w' needs 0 bytes, but has 8"),
        (one(data_offsets=[8, 0]), "'w' has an impossible place"),
        (one(data_offsets=[0]), "'w' has an impossible place"),
        (one(data_offsets=[-8, 0]), "'w' has an impossible place"),
        (one(data_offsets=[4, 12]), "'w' follows a hole"),
        (made({"w": entry()}, bytes(7)), "'w' reaches beyond the end of the file"),
        (made({"w": entry()}, bytes(9)), "1 bytes follow the last tensor"),
        (made({"v": entry(), "w": entry(data_offsets=[4, 12])}, bytes(12)), "overlaps another"),
        (made({"v": entry(), "w": entry()}, bytes(8)), "overlaps another tensor"),
    ],
)
def test_refusals(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in surveyed(tmp_path, data).contents.problem


def test_too_many_tensors(tmp_path: Path) -> None:
    assert "has 4 tensors, over the limit of 3" in (
        surveyed(tmp_path, WHOLE, Limits(entries=3)).contents.problem
    )


def test_a_pickle_in_disguise(tmp_path: Path) -> None:
    # To a pickle, the header's length is a string that hides the brace.
    payload = pickled(Canary(tmp_path / "canary"), 0)
    found = surveyed(tmp_path, b"U\x07" + bytes(6) + b"{" + payload + bytes(2000))
    assert found.format == "safetensors"
    assert rules(found) == {"BA001"}


def test_the_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    for length in range(1, len(WHOLE), 11):
        assert surveyed(tmp_path, WHOLE[:length]).contents.problem

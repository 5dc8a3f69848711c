import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from backaudit.core.errors import CheckpointError
from backaudit.files.limits import Limits
from backaudit.loading.weights.checkpoint import read_checkpoint
from tests.loading.saved_weights import (
    OPTIMIZER,
    STATE,
    Exchanged,
    packed,
    saved,
    squeezed,
    written,
)


def text_mode(data: bytes) -> bytes:
    return data.decode("utf-8", "replace").encode()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return buffer.getvalue()


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return buffer.getvalue()


LEGACY = packed(STATE, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer.*git lfs pull"),
        (b"hello", "not a checkpoint of a known format"),
        (b"\x89HDF\r\n", "HDF5"),
        (tar(), "tar archive"),
        (pickle.dumps({"a": 1}), "no named weight tensors"),
        (zipped("array.npy"), "NumPy archive"),
        (text_mode(packed(STATE)), "destroyed by a transfer in text mode"),
        (text_mode(LEGACY), "destroyed by a transfer in text mode"),
        (LEGACY.replace(b"\x80", b"?").decode("ascii", "replace").encode(), "text mode"),
        (packed(STATE)[:-30], "damaged or truncated"),
        (packed(STATE)[:200], "damaged or truncated"),
        (safetensors.torch.save(STATE)[:-4], "damaged safetensors"),
        (safetensors.torch.save(STATE)[:60], "damaged safetensors"),
        (packed({"epoch": 3}), "no named weight tensors"),
        (packed({"optimizer": OPTIMIZER}), "no named weight tensors"),
        (packed(STATE | {"a.weight": torch.eye(3).to_sparse()}), "sparse, 'a.weight'"),
        (packed({"a.weight": torch.ones(2, 2, device="meta")}), r"\(a meta tensor\), 'a.weight'"),
        (packed({"a.weight": torch.ones(2, 2, dtype=torch.complex64)}), "complex, 'a.weight'"),
    ],
)
def test_refusals_name_the_file_and_the_reason(tmp_path: Path, data: bytes, message: str) -> None:
    path = written(tmp_path, data)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [30, 100, len(LEGACY) - 200, len(LEGACY) - 3])
def test_truncated_legacy_archive(tmp_path: Path, cut: int) -> None:
    with pytest.raises(CheckpointError, match="damaged or truncated"):
        read_checkpoint(written(tmp_path, LEGACY[:cut]))


def test_nan_and_infinite_weights_are_counted(tmp_path: Path) -> None:
    spoilt = torch.tensor([[1.0, float("nan"), float("inf")]])
    path = saved(tmp_path, STATE | {"late.weight": spoilt})
    with pytest.raises(CheckpointError, match=r"2 of 3 values of 'late.weight'"):
        read_checkpoint(path)


def test_directory_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a directory without weights"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        read_checkpoint(tmp_path / "missing.pt")


def test_limit_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="larger than the limit"):
        read_checkpoint(saved(tmp_path, STATE), limits=Limits(max_bytes=100))


def test_limit_on_what_the_archive_unpacks_to(tmp_path: Path) -> None:
    path = written(tmp_path, squeezed(packed({"a.weight": torch.zeros(500, 500)})))
    with pytest.raises(CheckpointError, match="raise --max-gib"):
        read_checkpoint(path, limits=Limits(max_bytes=100_000))


def test_a_view_that_claims_more_than_its_bytes(tmp_path: Path) -> None:
    state = {"a.weight": torch.ones(1, 1).expand(1000, 1000)}
    with pytest.raises(CheckpointError, match=r"'a.weight' that claims more elements"):
        read_checkpoint(saved(tmp_path, state))


def test_hostile_names_are_printed_harmlessly(tmp_path: Path) -> None:
    state = {"\x1b[2J\u202eevil.weight": torch.full((2, 2), float("nan"))}
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(saved(tmp_path, state))
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)


def hidden() -> nn.Module:
    network = nn.Linear(2, 2)
    network.__dict__["weight"] = torch.full((2, 2), 7.0)
    return network


def with_weight(weight: object) -> nn.Module:
    network = nn.Linear(2, 2)
    network.__dict__["_parameters"] = {"weight": weight}
    return network


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (hidden(), "something else hides 'weight'"),
        (with_weight(Exchanged(torch.ones(2, 2), torch.zeros(2, 2))), "exchanged for another"),
        (with_weight(torch._neg_view(torch.ones(2, 2))), "is negated"),
    ],
)
def test_networks_that_would_compute_with_other_numbers(
    tmp_path: Path, network: nn.Module, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(saved(tmp_path, network))

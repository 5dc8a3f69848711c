import argparse
import hashlib
import io
import os
import pathlib
import pickle
import tarfile
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.loading.checkpoint import read_checkpoint

STATE: dict[str, Tensor] = {
    "conv.weight": torch.arange(36.0).reshape(4, 1, 3, 3),
    "bn.running_mean": torch.ones(4),
    "bn.num_batches_tracked": torch.tensor(7),
    "fc.weight": torch.full((2, 4), 0.5),
}
OPTIMIZER = {"state": {0: {"momentum_buffer": torch.ones(9, 9)}}, "param_groups": [{"lr": 0.1}]}


def saved(tmp_path: Path, content: Any, **options: Any) -> Path:
    path = tmp_path / "weights.png"
    torch.save(content, path, **options)
    return path


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "weights.pt"
    path.write_bytes(data)
    return path


def packed(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in STATE.items()}


def same(state: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return state.keys() == expected.keys() and all(
        torch.equal(tensor, expected[name]) for name, tensor in state.items()
    )


@pytest.mark.parametrize("zipped", [True, False])
def test_both_archive_formats(tmp_path: Path, zipped: bool) -> None:
    path = saved(tmp_path, STATE, _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(path)
    assert checkpoint.format == ("torch-zip" if zipped else "torch-legacy")
    assert same(checkpoint.state, STATE)
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_safetensors_with_metadata(tmp_path: Path) -> None:
    texts = {"num_classes": "10", "mean": "[0.5, 0.5]", "format": "pt", "note": "{broken"}
    checkpoint = read_checkpoint(written(tmp_path, safetensors.torch.save(STATE, texts)))
    assert checkpoint.format == "safetensors"
    assert same(checkpoint.state, STATE)
    assert checkpoint.metadata == {
        "num_classes": 10,
        "mean": [0.5, 0.5],
        "format": "pt",
        "note": "{broken",
    }


@pytest.mark.parametrize(
    ("content", "wrapper", "prefix"),
    [
        (STATE, (), ""),
        (OrderedDict(prefixed("module.")), (), "module."),
        (prefixed("module._orig_mod.model."), (), "module._orig_mod.model."),
        ({"state_dict": prefixed("net."), "optimizer": OPTIMIZER}, ("state_dict",), "net."),
        ({"net": STATE, "acc": 0.9, "epoch": 3}, ("net",), ""),
        ({"netC": STATE, "netG": {"big.weight": torch.ones(99, 99)}}, ("netC",), ""),
        ({"model_state_dict": STATE}, ("model_state_dict",), ""),
        ([{"model": STATE}], ("0", "model"), ""),
        ({"ema": prefixed("module."), "model": STATE}, ("model",), ""),
        ({"model_ema": STATE, "epoch": 1}, ("model_ema",), ""),
        ({"checkpoint": {"state_dict": STATE}}, ("checkpoint", "state_dict"), ""),
        ({"small": {"a.weight": torch.ones(1, 1)}, "large": STATE}, ("large",), ""),
    ],
)
def test_wrappers_and_prefixes(
    tmp_path: Path, content: Any, wrapper: tuple[str, ...], prefix: str
) -> None:
    checkpoint = read_checkpoint(saved(tmp_path, content))
    assert checkpoint.wrapper == wrapper
    assert checkpoint.prefix == prefix
    assert same(checkpoint.state, STATE)


def test_prefix_that_not_all_names_share_stays(tmp_path: Path) -> None:
    state = prefixed("module.") | {"extra.weight": torch.ones(2, 2)}
    assert same(read_checkpoint(saved(tmp_path, state)).state, state)


def test_a_choice_among_weights_is_noted(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(saved(tmp_path, {"ema": STATE, "model": STATE}))
    assert checkpoint.notes == (
        "The weights under model were taken; the file also has some under ema.",
    )


def test_plain_values_beside_the_weights_are_kept(tmp_path: Path) -> None:
    content = {
        "model_name": "preactresnet18",
        "img_size": (32, 32, 3),
        "accuracy": np.float64(0.5),
        "mean": np.array([0.1, 0.2]),
        "std": torch.tensor([0.3, 0.4]),
        "args": argparse.Namespace(lr=0.1, out=pathlib.Path("x")),
        "classes": ["cat", "dog"],
        "class_to_idx": {"cat": 0, "dog": 1},
        "optimizer": OPTIMIZER,
        "history": defaultdict(list, {"loss": [np.float32(1)]}),
        "images": np.zeros((3, 4, 4)),
        "model": STATE | {"epoch": 3},
    }
    metadata = read_checkpoint(saved(tmp_path, content)).metadata
    assert metadata.pop("std") == pytest.approx([0.3, 0.4])
    assert metadata == {
        "model_name": "preactresnet18",
        "img_size": [32, 32, 3],
        "accuracy": 0.5,
        "mean": [0.1, 0.2],
        "args": {"lr": 0.1},
        "classes": ["cat", "dog"],
        "class_to_idx": {"cat": 0, "dog": 1},
        "history": {"loss": [1.0]},
        "epoch": 3,
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in STATE.items()}
    checkpoint = read_checkpoint(saved(tmp_path, state))
    assert same(checkpoint.state, STATE)
    assert checkpoint.state["fc.weight"].dtype == torch.float32
    assert checkpoint.state["bn.num_batches_tracked"].dtype == torch.int64
    assert str(dtype).removeprefix("torch.") in checkpoint.notes[0]


def test_parameters_become_plain_tensors(tmp_path: Path) -> None:
    state = dict(nn.Linear(3, 2).named_parameters())
    tensor = read_checkpoint(saved(tmp_path, state)).state["weight"]
    assert type(tensor) is Tensor
    assert not tensor.requires_grad


class Executes:
    """Would make a folder if it were unpickled as pickle does it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.target),))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    target = tmp_path / "executed"
    content = {"state_dict": STATE, "extra": Executes(target)}
    path = saved(tmp_path, content, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"refers to Python code .*mkdir"):
        read_checkpoint(path)
    assert not target.exists()


def test_whole_network_says_to_save_the_state_dict(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"Linear.* save the state dict"):
        read_checkpoint(saved(tmp_path, nn.Linear(2, 2)))


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
        (b"\x08\x06\x12\x07pytorch", "is an ONNX model, not supported yet"),
        (b"\x89HDF\r\n", "HDF5"),
        (tar(), "tar archive"),
        (pickle.dumps({"a": 1}), "pickle that torch did not write"),
        (zipped("a/constants.pkl", "a/data.pkl"), "TorchScript program, not supported yet"),
        (zipped("a/archive_format"), "torch.export program, not supported yet"),
        (zipped("array.npy"), "zip archive that torch did not write"),
        (text_mode(packed(STATE)), "destroyed by a transfer in text mode"),
        (text_mode(LEGACY), "destroyed by a transfer in text mode"),
        (LEGACY.replace(b"\x80", b"?").decode("ascii", "replace").encode(), "text mode"),
        (packed(STATE)[:-30], "damaged or truncated"),
        (packed(STATE)[:200], "damaged or truncated"),
        (safetensors.torch.save(STATE)[:-4], "damaged safetensors"),
        (safetensors.torch.save(STATE)[:60], "damaged safetensors"),
        (packed({"epoch": 3}), "no named weight tensors"),
        (packed({"optimizer": OPTIMIZER}), "no named weight tensors"),
        (packed({"a.weight": torch.eye(3).to_sparse()}), "sparse, 'a.weight'"),
        (packed({"a.weight": torch.ones(2, 2, device="meta")}), r"\(meta\), 'a.weight'"),
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
    with pytest.raises(CheckpointError, match="is a directory: give the checkpoint file inside"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        read_checkpoint(tmp_path / "missing.pt")


def test_limit_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="larger than the limit"):
        read_checkpoint(saved(tmp_path, STATE), max_bytes=100)


def test_limit_on_what_the_archive_unpacks_to(tmp_path: Path) -> None:
    source = io.BytesIO(packed({"a.weight": torch.zeros(500, 500)}))
    squeezed = io.BytesIO()
    with (
        zipfile.ZipFile(source) as archive,
        zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in archive.namelist():
            target.writestr(name, archive.read(name))
    with pytest.raises(CheckpointError, match="unpacks to more"):
        read_checkpoint(written(tmp_path, squeezed.getvalue()), max_bytes=100_000)


def test_limit_on_what_a_view_claims(tmp_path: Path) -> None:
    state = {"a.weight": torch.ones(1, 1).expand(1000, 1000)}
    with pytest.raises(CheckpointError, match="tensors larger than the limit"):
        read_checkpoint(saved(tmp_path, state), max_bytes=100_000)


def test_hostile_names_are_printed_harmlessly(tmp_path: Path) -> None:
    state = {"\x1b[2J\u202eevil.weight": torch.full((2, 2), float("nan"))}
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(saved(tmp_path, state))
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)

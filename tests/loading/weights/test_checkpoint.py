import argparse
import hashlib
import json
import os
import pathlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError, UnsafeFileError
from backaudit.files.survey import survey
from backaudit.loading.weights.checkpoint import outline, read_checkpoint
from tests.loading.saved_weights import (
    OPTIMIZER,
    STATE,
    packed,
    prefixed,
    same,
    saved,
    squeezed,
    written,
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


def test_wrapper_and_prefix_are_told(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(saved(tmp_path, {"state_dict": prefixed("module.")}))
    assert (checkpoint.wrapper, checkpoint.prefix) == (("state_dict",), "module.")
    assert list(checkpoint.state) == list(STATE)
    assert same(checkpoint.state, STATE)


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
        "args": {"lr": 0.1, "out": "x"},
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
    with pytest.raises(UnsafeFileError, match=r"weights.png is unsafe .*mkdir") as caught:
        read_checkpoint(path)
    assert not target.exists()
    assert [finding.rule.id for finding in caught.value.survey.unsafe] == ["BA001"]


def test_outline_tells_of_an_unsafe_file_too(tmp_path: Path) -> None:
    content = {"state_dict": STATE, "extra": Executes(tmp_path / "executed")}
    assert outline(survey(saved(tmp_path, content))).state.keys() == STATE.keys()


class Network(nn.Module):
    """Of a class that only these tests define."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapper", [(), ("net",)])
def test_whole_network(tmp_path: Path, zipped: bool, wrapper: tuple[str, ...]) -> None:
    network = Network()
    content = {"net": network, "acc": 91.5} if wrapper else network
    path = saved(tmp_path, content, _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(path)
    assert list(checkpoint.state) == list(network.state_dict())
    assert same(checkpoint.state, network.state_dict())
    assert checkpoint.wrapper == wrapper
    assert [part.path for part in checkpoint.module] == [
        name for name, _ in network.named_modules()
    ]
    assert {use.name for use in checkpoint.uses} >= {"Network", "BatchNorm2d"}
    assert {finding.rule.id for finding in checkpoint.findings} == {"BA002"}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_that_torch_writes(tmp_path: Path, protocol: int) -> None:
    assert same(read_checkpoint(saved(tmp_path, STATE, pickle_protocol=protocol)).state, STATE)


def test_compressed_archive(tmp_path: Path) -> None:
    path = written(tmp_path, squeezed(packed(STATE)))
    assert same(read_checkpoint(path).state, STATE)


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    tied = torch.ones(3, 3)
    state = read_checkpoint(saved(tmp_path, {"a.weight": tied, "b.weight": tied})).state
    assert list(state) == ["a.weight", "b.weight"]
    assert state["a.weight"].data_ptr() == state["b.weight"].data_ptr()


def test_weights_can_be_changed_and_the_file_stays(tmp_path: Path) -> None:
    path = saved(tmp_path, STATE)
    before = path.read_bytes()
    read_checkpoint(path).state["fc.weight"].zero_()
    assert path.read_bytes() == before


def test_sharded_safetensors(tmp_path: Path) -> None:
    assert same(read_checkpoint(sharded(tmp_path, "safetensors")).state, STATE)


def test_sharded_torch_files(tmp_path: Path) -> None:
    assert same(read_checkpoint(sharded(tmp_path, "bin")).state, STATE)


def sharded(folder: Path, suffix: str) -> Path:
    parts = {f"part-{name}.{suffix}": {name: tensor} for name, tensor in STATE.items()}
    for file, part in parts.items():
        data = safetensors.torch.save(part) if suffix == "safetensors" else packed(part)
        (folder / file).write_bytes(data)
    weight_map = {name: file for file, part in parts.items() for name in part}
    index = folder / f"model.{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    return index


def test_hub_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors.torch.save(STATE))
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.format == "hub-folder"
    assert checkpoint.metadata["config"] == {"architecture": "resnet18"}
    assert same(checkpoint.state, STATE)


def test_program_keeps_the_names_of_its_graph(tmp_path: Path) -> None:
    weight = np.ones((2, 2), np.float32)
    node = onnx.helper.make_node("MatMul", ["images", "model.weight"], ["logits"])
    shape = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "network",
        [shape("images", onnx.TensorProto.FLOAT, [1, 2])],
        [shape("logits", onnx.TensorProto.FLOAT, [1, 2])],
        [onnx.numpy_helper.from_array(weight, "model.weight")],
    )
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    checkpoint = read_checkpoint(written(tmp_path, model.SerializeToString()))
    assert (checkpoint.format, checkpoint.prefix) == ("onnx", "")
    assert checkpoint.program is not None
    assert same(checkpoint.state, {"model.weight": torch.ones(2, 2)})


def test_outline_has_forms_and_no_numbers(tmp_path: Path) -> None:
    path = saved(tmp_path, {"net": prefixed("module."), "epoch": 3})
    read, outlined = read_checkpoint(path), outline(survey(path))
    assert all(tensor.is_meta for tensor in outlined.state.values())
    assert {name: tensor.shape for name, tensor in outlined.state.items()} == {
        name: tensor.shape for name, tensor in STATE.items()
    }
    assert outlined.state["bn.num_batches_tracked"].dtype == torch.int64
    for field in ("path", "sha256", "format", "wrapper", "prefix", "metadata", "notes", "uses"):
        assert getattr(outlined, field) == getattr(read, field)


def test_outline_of_what_holds_no_weights_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"weights.png holds no named weight"):
        outline(survey(saved(tmp_path, {"epoch": 3})))

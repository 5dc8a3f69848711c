import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.files.samples import Canary, messages, rules, surveyed, torch_bytes
from tests.programs.networks import edited, exported, graph_edited


@pytest.fixture(scope="module")
def tiny() -> bytes:
    return exported(nn.Sequential(nn.Linear(2, 3), nn.ReLU()).eval(), torch.zeros(1, 2))


def relu_as(target: str) -> Any:
    def change(module: Any) -> None:
        nodes = module["graph"]["nodes"]
        next(n for n in nodes if n["target"].startswith("torch.ops.aten.relu"))["target"] = target

    return change


def test_tensors_and_program(tmp_path: Path, tiny: bytes) -> None:
    found = surveyed(tmp_path, tiny)
    assert found.format == "torch-export"
    assert found.contents.problem == ""
    assert found.contents.findings == ()
    saved = found.contents.saved
    assert isinstance(saved, dict)
    assert {name: record.shape for name, record in saved.items()} == {
        "0.weight": (3, 2),
        "0.bias": (3,),
    }


def test_an_operator_on_files_is_unsafe(tmp_path: Path, tiny: bytes) -> None:
    change = relu_as("torch.ops.aten.from_file.default")
    found = surveyed(tmp_path, graph_edited(tiny, change))
    assert rules(found) == {"BA001"}
    assert "torch.ops.aten.from_file.default (step 2), which maps a file" in messages(found)


@pytest.mark.parametrize(
    "target",
    ["torch.ops.mine.op.default", "builtins.eval", "torch.ops.higher_order.cond", "aten.relu"],
)
def test_operators_from_elsewhere_are_named(tmp_path: Path, tiny: bytes, target: str) -> None:
    problem = surveyed(tmp_path, graph_edited(tiny, relu_as(target))).contents.problem
    assert target in problem
    assert "not supported" in problem


def test_pickled_example_inputs_are_walked_and_never_loaded(tmp_path: Path, tiny: bytes) -> None:
    canary = tmp_path / "canary"

    def change(name: str, content: bytes) -> bytes:
        return torch_bytes([Canary(canary)]) if "sample_inputs" in name else content

    found = surveyed(tmp_path, edited(tiny, change))
    assert any(use.level.value == "dangerous" for use in found.contents.uses)
    assert rules(found) >= {"BA001"}
    assert not canary.exists()


def test_compiled_code_is_unsafe(tmp_path: Path, tiny: bytes) -> None:
    def change(name: str, content: bytes) -> bytes:
        return content

    data = edited(tiny, change, {"data/aotinductor/model/a.so": b"\x7fELF"})
    assert "holds compiled code" in messages(surveyed(tmp_path, data))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"[" * 100_000, b'{"graph_module": {"graph": 3}}', b"\xff"]
)
def test_a_damaged_graph(tmp_path: Path, tiny: bytes, content: bytes) -> None:
    def change(name: str, old: bytes) -> bytes:
        return content if name.startswith("models/") else old

    assert "damaged or truncated" in surveyed(tmp_path, edited(tiny, change)).contents.problem


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("path_name", "weight_9", "lacks its tensor data/weights/weight_9"),
        ("tensor_meta", {"dtype": 7}, "damaged"),
        ("path_name", 3, "lacks its tensor"),
    ],
)
def test_damaged_weights(tmp_path: Path, tiny: bytes, key: str, value: Any, words: str) -> None:
    def change(name: str, old: bytes) -> bytes:
        if not name.endswith("weights_config.json"):
            return old
        document = json.loads(old)
        document["config"]["0.bias"][key] = value
        return json.dumps(document).encode()

    assert words in surveyed(tmp_path, edited(tiny, change)).contents.problem


def test_weights_that_reach_too_far(tmp_path: Path, tiny: bytes) -> None:
    def change(name: str, old: bytes) -> bytes:
        return old.replace(b'"sizes": [{"as_int": 3}]', b'"sizes": [{"as_int": 4}]')

    changed = edited(tiny, lambda name, old: change(name, old) if "config" in name else old)
    assert "reaches outside its stored bytes" in surveyed(tmp_path, changed).contents.problem


def test_numbers_that_begin_as_a_pickle_does(tmp_path: Path) -> None:
    made = nn.Linear(2, 3).eval()
    with torch.no_grad():
        made.weight.fill_(struct.unpack("<f", b"\x80\x05\x80\x3f")[0])
    contents = surveyed(tmp_path, exported(made, torch.ones(1, 2))).contents
    assert not contents.problem
    assert contents.saved["weight"].shape == (3, 2)

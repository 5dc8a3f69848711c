import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from backaudit.files.contents import Survey
from backaudit.files.limits import Limits
from backaudit.files.survey import survey
from tests.files.samples import (
    STATE,
    Canary,
    holds,
    legacy_bytes,
    messages,
    rules,
    torch_bytes,
)

NAMES = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"
HALVES: tuple[dict[str, Tensor], ...] = (
    dict(list(STATE.items())[:2]),
    dict(list(STATE.items())[2:]),
)
MAP = {name: NAMES[number] for number, half in enumerate(HALVES) for name in half}


def sharded(path: Path, weight_map: Any = MAP, index: str = INDEX, **files: bytes) -> Path:
    shards = {name: safetensors.torch.save(half) for name, half in zip(NAMES, HALVES, strict=True)}
    for name, data in (shards | files).items():
        (path / name).write_bytes(data)
    (path / index).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return path / index


@pytest.mark.parametrize("given", ["index", "folder"])
def test_two_shards(tmp_path: Path, given: str) -> None:
    index = sharded(tmp_path)
    found = survey(index if given == "index" else tmp_path)
    assert (found.format, found.contents.problem) == ("safetensors", "")
    assert found.contents.notes == ("The weights lie in 2 files.",)
    assert holds(found.contents.saved, STATE)
    assert list(found.contents.saved) == list(STATE)  # type: ignore[call-overload]
    assert {opened.path.name for opened in found.contents.files} == {*NAMES, INDEX}


def test_with_a_configuration_they_are_a_hub_folder(tmp_path: Path) -> None:
    index = sharded(tmp_path, **{"config.json": b'{"num_classes": 2}'})
    found = survey(index)
    assert found.format == "hub-folder"
    assert found.contents.metadata == {"config": {"num_classes": 2}}
    assert found.sha256 == survey(tmp_path).sha256


@pytest.mark.parametrize(
    ("packed", "expected"), [(torch_bytes, "torch-zip"), (legacy_bytes, "torch-legacy")]
)
def test_pickled_shards(tmp_path: Path, packed: Any, expected: str) -> None:
    files = {name: packed(half) for name, half in zip(NAMES, HALVES, strict=True)}
    found = survey(sharded(tmp_path, index="pytorch_model.bin.index.json", **files))
    assert found.format == expected
    assert holds(found.contents.saved, STATE)


def test_a_dangerous_shard_is_named(tmp_path: Path) -> None:
    evil = torch_bytes({**HALVES[1], "x": Canary(tmp_path / "canary")})
    found = survey(sharded(tmp_path, **{NAMES[1]: evil}))
    assert rules(found) == {"BA001"}
    assert f"'{NAMES[1]}/archive/data.pkl'" in messages(found)
    assert not (tmp_path / "canary").exists()


def survey_of(tmp_path: Path, weight_map: Any = MAP, **files: bytes) -> Survey:
    return survey(sharded(tmp_path, weight_map, **files))


@pytest.mark.parametrize(
    ("weight_map", "words"),
    [
        ([], "has an index without a 'weight_map'"),
        ({}, "has an index without a 'weight_map'"),
        ({"a": 1}, "has an index that names no file for 'a'"),
        ({**MAP, "a": "missing.bin"}, "names 'missing.bin', which does not exist"),
        ({**MAP, "a": "../x"}, "names '../x', which leads out of its folder"),
        ({**MAP, "a": "sub/x"}, "names 'sub/x', which leads out of its folder"),
        ({**MAP, "a": "/etc/passwd"}, "names '/etc/passwd', which leads out of its folder"),
        ({**MAP, "a": ".."}, "names '..', which leads out of its folder"),
        ({**MAP, "a": ""}, "names '', which leads out of its folder"),
        ({**MAP, "a": "x\0y"}, r"names 'x\\x00y', which leads out of its folder"),
        ({**MAP, "more": NAMES[0]}, "that differs from the index in 'more'"),
        ({**MAP, "fc.weight": NAMES[0]}, "that differs from the index in 'fc.weight'"),
    ],
)
def test_refused_indices(tmp_path: Path, weight_map: Any, words: str) -> None:
    assert words in survey_of(tmp_path, weight_map).contents.problem


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", f"has a shard '{NAMES[1]}' that is empty (0 bytes)"),
        (safetensors.torch.save({**STATE}), "that differs from the index"),
        (torch_bytes(HALVES[1]), "has shards of several formats: safetensors, torch-zip"),
        (torch_bytes([1]), "that holds no named tensors"),
        (torch_bytes({**HALVES[1], "x": 1}), "that differs from the index in 'x'"),
    ],
)
def test_refused_shards(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in survey_of(tmp_path, **{NAMES[1]: data}).contents.problem


def test_all_shards_together_must_keep_to_the_limit(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    size = sum((tmp_path / name).stat().st_size for name in (*NAMES, INDEX))
    assert survey(index, Limits(max_bytes=size)).contents.problem == ""
    assert "is larger than the limit" in survey(index, Limits(max_bytes=size - 1)).contents.problem


def test_a_claim_of_many_names_for_one_tensor(tmp_path: Path) -> None:
    base = torch.ones(2**20)
    data = torch_bytes({f"t{number}": base for number in range(40)})
    (tmp_path / "tied.pt").write_bytes(data)
    assert "claims" in survey(tmp_path / "tied.pt").contents.problem

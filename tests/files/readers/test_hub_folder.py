import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from backaudit.files.contents import Survey
from backaudit.files.survey import survey
from tests.files.samples import STATE, Canary, holds, legacy_bytes, rules, torch_bytes

CONFIG = {"architecture": "resnet18", "num_classes": 10}
TENSORS = safetensors.torch.save(STATE)


def folder(path: Path, **files: Any) -> Path:
    """Files by their names, with ``_DOT_`` for a dot; what is no bytes is written as JSON."""
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (path / name.replace("_DOT_", ".")).write_bytes(data)
    return path


def surveyed(tmp_path: Path, **files: Any) -> Survey:
    return survey(folder(tmp_path / "model", **files))


def test_weights_and_configuration(tmp_path: Path) -> None:
    found = surveyed(
        tmp_path,
        config_DOT_json=CONFIG,
        preprocessor_config_DOT_json={"size": 32},
        model_DOT_safetensors=TENSORS,
    )
    assert (found.format, found.contents.problem, found.contents.notes) == ("hub-folder", "", ())
    assert holds(found.contents.saved, STATE)
    assert found.contents.metadata == {"config": CONFIG, "preprocessor_config": {"size": 32}}
    assert {opened.path.name for opened in found.contents.files} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    assert found.size == sum(opened.size for opened in found.contents.files)


@pytest.mark.parametrize("weights", [torch_bytes(STATE), legacy_bytes(STATE)])
def test_pickled_weights(tmp_path: Path, weights: bytes) -> None:
    found = surveyed(tmp_path, config_DOT_json=CONFIG, pytorch_model_DOT_bin=weights)
    assert found.format == "hub-folder"
    assert holds(found.contents.saved, STATE)


def test_safetensors_are_preferred_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    evil = torch_bytes(Canary(tmp_path / "canary"))
    found = surveyed(
        tmp_path,
        config_DOT_json=CONFIG,
        model_DOT_safetensors=TENSORS,
        pytorch_model_DOT_bin=evil,
    )
    assert holds(found.contents.saved, STATE)
    assert found.contents.notes == (
        "pytorch_model.bin beside model.safetensors was not looked at.",
    )


def test_dangerous_weights(tmp_path: Path) -> None:
    evil = torch_bytes(Canary(tmp_path / "canary"))
    found = surveyed(tmp_path, config_DOT_json=CONFIG, pytorch_model_DOT_bin=evil)
    assert rules(found) == {"BA001"}
    assert not (tmp_path / "canary").exists()


def test_the_digest_is_of_names_and_digests(tmp_path: Path) -> None:
    files = {"config_DOT_json": CONFIG, "model_DOT_safetensors": TENSORS}
    first = survey(folder(tmp_path / "a", **files)).sha256
    assert survey(folder(tmp_path / "b", **files, README_DOT_md=b"words")).sha256 == first
    changed = files | {"config_DOT_json": {**CONFIG, "num_classes": 11}}
    assert survey(folder(tmp_path / "c", **changed)).sha256 != first


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "is a directory without weights"),
        ({"config_DOT_json": CONFIG}, "is a directory without weights"),
        ({"model_DOT_safetensors": TENSORS}, "without config.json: give the file in it, model.saf"),
        ({"a_DOT_pt": TENSORS}, "is a directory without config.json: give the file in it, a.pt"),
        ({"a_DOT_pt": b"", "b_DOT_pth": b""}, "give one of them (a.pt, b.pth)"),
        (
            {"config_DOT_json": b"{", "model_DOT_safetensors": TENSORS},
            "has a damaged 'config.json' (it is no JSON text)",
        ),
        (
            {"config_DOT_json": [], "model_DOT_safetensors": TENSORS},
            "has a 'config.json' that is no table of names",
        ),
        (
            {"config_DOT_json": b" " * 2**25, "model_DOT_safetensors": TENSORS},
            "has a 'config.json' of 33554432 bytes, too many",
        ),
        ({"config_DOT_json": CONFIG, "model_DOT_safetensors": b""}, "is empty (0 bytes)"),
    ],
)
def test_refusals(tmp_path: Path, files: dict[str, Any], words: str) -> None:
    assert words in surveyed(tmp_path, **files).contents.problem


def test_a_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(TENSORS)
    path = folder(tmp_path / "model", config_DOT_json=CONFIG)
    (path / "model.safetensors").symlink_to("../secret")
    assert "'model.safetensors', which is a link that leads out" in survey(path).contents.problem


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    path = folder(tmp_path / "model", config_DOT_json=CONFIG)
    (path / "model.safetensors").symlink_to("gone")
    assert "'model.safetensors', which does not exist" in survey(path).contents.problem


def test_links_of_a_cache_of_the_hub(tmp_path: Path) -> None:
    blobs, revision = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    revision.parent.mkdir()
    folder(blobs, one=CONFIG, two=TENSORS)
    folder(revision)
    (revision / "config.json").symlink_to("../../blobs/one")
    (revision / "model.safetensors").symlink_to("../../blobs/two")
    found = survey(revision)
    assert found.contents.problem == ""
    assert holds(found.contents.saved, STATE)


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    assert "cannot be read (Permission denied)" in survey(tmp_path).contents.problem


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config_DOT_json": CONFIG, "adapter_config_DOT_json": {}}, "holds an adapter"),
        ({"config_DOT_json": {"transformers_weights": "other.safetensors"}}, "names other weights"),
        ({"config_DOT_json": {"pretrained_cfg": {"hf_hub_filename": "b.bin"}}}, "'b.bin'"),
    ],
)
def test_folders_of_which_libraries_load_other_weights_are_refused(
    tmp_path: Path, files: dict[str, Any], words: str
) -> None:
    found = surveyed(tmp_path, model_DOT_safetensors=TENSORS, **files)
    assert words in found.contents.problem


def test_configuration_nested_too_deeply_to_be_walked_is_refused(tmp_path: Path) -> None:
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    found = surveyed(tmp_path, config_DOT_json=deep, model_DOT_safetensors=TENSORS)
    assert "nested too deeply" in found.contents.problem

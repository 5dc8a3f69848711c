import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from backaudit.files.contents import Level
from backaudit.files.pickles.values import Inert
from backaudit.files.records import TensorRecord
from tests.files.samples import (
    STATE,
    Canary,
    holds,
    messages,
    pickled,
    repacked,
    rules,
    surveyed,
    torch_bytes,
)

WHOLE = torch_bytes(STATE)
DATA = "archive/data/0"


class Odd:
    def __init__(self) -> None:
        self.size = 3


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 3)


class Evil:
    def __reduce__(self) -> Any:
        return surveyed, (Path("x"), b"")


def test_a_state_dict(tmp_path: Path) -> None:
    found = surveyed(tmp_path, WHOLE)
    assert found.format == "torch-zip"
    assert found.contents.problem == ""
    assert found.contents.findings == ()
    assert found.contents.notes == ()
    assert holds(found.contents.saved, STATE)
    assert list(found.contents.saved) == list(STATE)  # type: ignore[call-overload]
    assert {use.level for use in found.contents.uses} == {Level.HARMLESS}


def test_tied_half_and_strided_tensors(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = {"a": base, "b": base, "c": base.T, "d": base[1:, 2], "h": base.half()}
    found = surveyed(tmp_path, torch_bytes(state))
    assert holds(found.contents.saved, state)


def test_bfloat16(tmp_path: Path) -> None:
    found = surveyed(tmp_path, torch_bytes({"w": torch.ones(2, 3, dtype=torch.bfloat16)}))
    record = found.contents.saved["w"]  # type: ignore[index]
    assert (record.dtype, record.shape, record.storage.nbytes) == ("bfloat16", (2, 3), 12)


def test_a_compressed_archive(tmp_path: Path) -> None:
    data = repacked(WHOLE, {}, compression=zipfile.ZIP_DEFLATED)
    found = surveyed(tmp_path, data)
    assert found.contents.findings == ()
    assert holds(found.contents.saved, STATE)


def test_a_whole_module_of_an_unknown_class(tmp_path: Path) -> None:
    network = Net()
    found = surveyed(tmp_path, torch_bytes(network))
    assert found.contents.problem == ""
    assert rules(found) == {"BA002"}
    assert "test_torch_zip.Net" in messages(found)
    assert isinstance(found.contents.saved, Inert)


def test_an_attack_result_of_backdoorbench(tmp_path: Path) -> None:
    content = {
        "model_name": "preactresnet18",
        "num_classes": 10,
        "model": STATE,
        "data_path": "../data",
        "img_size": (32, 32, 3),
        "clean_data": "cifar10",
        "bd_train": {"bd_dataset_save": Odd(), "targets": np.arange(3), "mean": np.float64(0.5)},
    }
    found = surveyed(tmp_path, torch_bytes(content))
    assert found.contents.problem == ""
    assert rules(found) == {"BA002"}
    assert "test_torch_zip.Odd" in messages(found)
    saved: Any = found.contents.saved
    assert saved["num_classes"] == 10
    assert holds(saved["model"], STATE)
    assert isinstance(saved["bd_train"]["targets"], TensorRecord | list | np.ndarray | Inert)


def test_a_function_that_is_not_known_is_not_called(tmp_path: Path) -> None:
    found = surveyed(tmp_path, torch_bytes({"w": torch.ones(2, 2), "x": Evil()}))
    assert "would call tests.files.samples.surveyed, which is not known" in found.contents.problem
    assert found.unsafe == ()


def test_a_dangerous_pickle(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    found = surveyed(tmp_path, torch_bytes({"w": torch.ones(2), "x": Canary(canary)}))
    (finding,) = found.unsafe
    assert finding.rule.id == "BA001"
    assert "would call posix.mkdir" in finding.message or "would call nt.mkdir" in finding.message
    assert "GLOBAL at offset" in finding.message
    assert "'archive/data.pkl', called by REDUCE at offset" in finding.message
    assert not canary.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("name", ["archive/extra/notes.txt", "archive/data.pkl.bak", "archive/x"])
def test_a_dangerous_pickle_beside_the_one_that_counts(
    tmp_path: Path, name: str, protocol: int
) -> None:
    payload = pickled(Canary(tmp_path / "canary"), protocol)
    found = surveyed(tmp_path, repacked(WHOLE, {name: payload}))
    assert rules(found) == {"BA001"}
    assert repr(name) in messages(found)
    assert not (tmp_path / "canary").exists()


def test_a_second_pickle_after_the_end(tmp_path: Path) -> None:
    first = pickled({"a": 1})
    data = repacked(WHOLE, {"archive/data.pkl": first + pickled(Canary(tmp_path / "canary"))})
    found = surveyed(tmp_path, data)
    assert {finding.rule.id for finding in found.unsafe} == {"BA001", "BA004"}
    assert f"in the entry 'archive/data.pkl', at offset {len(first)}" in messages(found)


def test_both_pickles_of_one_name_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(repacked(WHOLE, {}))
    with zipfile.ZipFile(path, "a") as whole, pytest.warns(UserWarning, match="Duplicate"):
        whole.writestr("archive/data.pkl", pickled({}))
        whole.writestr("archive/data.pkl", pickled(Canary(tmp_path / "canary")))
        whole.writestr("archive/data.pkl", pickled({}))
    found = surveyed(tmp_path, path.read_bytes())
    assert {finding.rule.id for finding in found.unsafe} == {"BA001", "BA004"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"archive/byteorder": b"big"}, "was saved on a big-endian machine"),
        ({DATA: None}, "lacks its stored numbers '0'"),
        ({DATA: b"1234"}, "has 4 bytes of stored numbers '0', but its pickle tells of 36 of type"),
        ({DATA: bytes(148)}, "has 148 bytes of stored numbers '0'"),
        ({"archive/data.pkl": None}, "has no 'data.pkl' where torch looks for it"),
        ({"archive/data.pkl": None, "archive/date.pkl": b"N."}, "or its pickle was renamed"),
        ({"other/file": b"x"}, "has an entry 'other/file' outside its folder 'archive'"),
        ({"archive/data.pkl": b""}, "is damaged or truncated"),
        ({"archive/data.pkl": b"\x80\x02}q"}, "is damaged or truncated"),
        ({"archive/more.7z": b"7z\xbc\xaf\x27\x1c"}, "holds another archive, 'archive/more.7z'"),
        ({"archive/x": bytes(257) + b"ustar"}, "holds another archive, 'archive/x'"),
        ({"archive/x.bin": repacked(WHOLE, {})}, "holds another archive, 'archive/x.bin'"),
    ],
)
def test_refusals(tmp_path: Path, changed: dict[str, bytes | None], words: str) -> None:
    assert words in surveyed(tmp_path, repacked(WHOLE, changed)).contents.problem


def test_numbers_that_look_like_an_archive_are_numbers(tmp_path: Path) -> None:
    state = {"a": torch.tensor(list(b"7z\xbc\xaf\x27\x1c"), dtype=torch.uint8)}
    assert holds(surveyed(tmp_path, torch_bytes(state)).contents.saved, state)


def test_numbers_of_no_tensor_are_noted(tmp_path: Path) -> None:
    found = surveyed(tmp_path, repacked(WHOLE, {"archive/data/99": b"hidden"}))
    assert found.contents.notes == (
        "1 blocks of stored numbers in the archive belong to no tensor.",
    )


def test_the_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    for length in range(1, len(WHOLE), 97):
        assert surveyed(tmp_path, WHOLE[:length]).contents.problem


def test_source_text_beside_the_weights_is_no_pickle(tmp_path: Path) -> None:
    text = b'class Net(Module):\n  __parameters__ = ["weight"]\nimport os\nos.system\n'
    found = surveyed(tmp_path, repacked(WHOLE, {"archive/extra/net.py": text}))
    assert found.contents.findings == ()


def test_a_further_pickle_that_cannot_be_followed_to_its_end_is_refused(tmp_path: Path) -> None:
    odd = b"\x80\x02ccollections\nOrderedDict\n)R}b}b0cbuiltins\neval\n."
    found = surveyed(tmp_path, repacked(WHOLE, {"archive/more.pkl": odd}))
    assert "'more.pkl' that cannot be read to its end" in found.contents.problem


@pytest.mark.parametrize(
    "honest",
    [
        np.random.RandomState(0),
        np.random.default_rng(0),
        random.Random(0),  # noqa: S311
        (np.random.get_state(), random.getstate(), torch.get_rng_state()),  # noqa: NPY002
        torch.amp.GradScaler("cpu"),
        nn.functional.cross_entropy,
        Any,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_training_keeps_beside_the_weights_is_harmless(tmp_path: Path, honest: Any) -> None:
    found = surveyed(tmp_path, torch_bytes({"model": STATE, "beside": honest}))
    assert (found.contents.problem, found.contents.findings) == ("", ())
    assert {use.level for use in found.contents.uses} == {Level.HARMLESS}


def test_more_pickles_than_any_checkpoint_has_are_not_walked(tmp_path: Path) -> None:
    data = b"(" + b"N" * 1_000_000 + b"t."
    more: dict[str, bytes | None] = {f"archive/{index}.pkl": data for index in range(20)}
    packed = repacked(WHOLE, more, compression=zipfile.ZIP_DEFLATED)
    assert "more other pickles" in surveyed(tmp_path, packed).contents.problem

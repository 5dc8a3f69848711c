import errno
import json
import os
from pathlib import Path

import pytest
import torch

from backaudit.core.errors import OutputError
from backaudit.purification.stage_files import StageFiles

KEY = {"model": "ab", "seed": 0, "method or setting": {"ft": {"epochs": 3}}}


@pytest.fixture
def files(tmp_path: Path) -> StageFiles:
    return StageFiles(tmp_path / ".repaired.pt.purify", KEY)


def test_what_is_left_comes_back_with_its_types(files: StageFiles) -> None:
    state = {"weights": {"a.b": torch.arange(3.0)}, "epoch": 4, "rates": [0.1, 0.2], "name": "x"}
    files.leave("ft.epoch", state)
    found = files.left("ft.epoch")
    assert found is not None
    assert torch.equal(found["weights"]["a.b"], torch.arange(3.0))
    assert {key: found[key] for key in ("epoch", "rates", "name")} == {
        key: state[key] for key in ("epoch", "rates", "name")
    }
    assert files.left("ft.other") is None


def test_an_optimizer_comes_back(files: StageFiles) -> None:
    weights = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weights], lr=0.1, momentum=0.9)
    weights.sum().backward()
    optimizer.step()
    files.leave("state", {"optimizer": optimizer.state_dict()})
    again = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.5, momentum=0.9)
    found = files.left("state")
    assert found is not None
    again.load_state_dict(found["optimizer"])
    assert again.param_groups[0]["lr"] == 0.1
    assert torch.equal(
        again.state_dict()["state"][0]["momentum_buffer"],
        optimizer.state_dict()["state"][0]["momentum_buffer"],
    )


def test_a_state_is_replaced_whole_and_leaves_no_other_file(files: StageFiles) -> None:
    for value in range(3):
        files.leave("a/b c", {"value": value})
    assert files.left("a/b c") == {"value": 2}
    assert sorted(path.name for path in files.folder.iterdir()) == ["a_b_c.state", "run.json"]


def test_what_cannot_be_written_says_how_to_go_on(
    files: StageFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    files.leave("x", {"value": 1})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"No space left on device\. .* --resume goes on"):
        files.leave("x", {"value": 2})
    assert files.left("x") == {"value": 1}


def test_without_resume_what_is_left_is_an_error_that_says_what_to_do(files: StageFiles) -> None:
    files.require(resume=False)
    files.leave("x", {})
    with pytest.raises(OutputError, match=r"add --resume to go on with it, or remove"):
        files.require(resume=False)
    files.require(resume=True)


def test_what_belongs_to_another_run_is_refused_and_named(files: StageFiles) -> None:
    files.leave("x", {})
    other = StageFiles(files.folder, KEY | {"seed": 1, "method or setting": {}})
    with pytest.raises(OutputError, match=r"another seed, method or setting left|another .*seed"):
        other.require(resume=True)


@pytest.mark.parametrize("damage", [b"", b"garbage" * 40])
def test_a_damaged_state_is_an_error_that_names_the_folder(
    files: StageFiles, damage: bytes
) -> None:
    files.leave("x", {"value": 1})
    (files.folder / "x.state").write_bytes(damage)
    with pytest.raises(OutputError, match="remove"):
        files.left("x")


def test_a_state_that_would_run_code_is_refused(files: StageFiles, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> object:
            return os.mkdir, (str(tmp_path / "ran"),)

    files.open()
    torch.save({"value": Evil()}, files.folder / "x.state")
    with pytest.raises(OutputError, match="remove"):
        files.left("x")
    assert not (tmp_path / "ran").exists()


def test_a_damaged_key_is_an_error(files: StageFiles) -> None:
    files.open()
    (files.folder / "run.json").write_text("{")
    with pytest.raises(OutputError, match="cannot be read"):
        files.require(resume=True)
    (files.folder / "run.json").write_text(json.dumps([1]))
    with pytest.raises(OutputError, match="with another"):
        files.require(resume=True)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be made"):
        StageFiles(tmp_path / "no" / "such", KEY).leave("x", {})


def test_nothing_remains_when_it_is_removed(files: StageFiles) -> None:
    files.leave("x", {"value": 1})
    files.remove()
    files.remove()
    assert not files.folder.exists()

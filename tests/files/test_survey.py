import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from backaudit.core.errors import CheckpointError
from backaudit.files import reading
from backaudit.files.limits import Limits
from backaudit.files.survey import survey
from tests.files.samples import STATE, surveyed, torch_bytes

WHOLE = torch_bytes(STATE)


def test_path_size_and_digest(tmp_path: Path) -> None:
    found = surveyed(tmp_path, WHOLE)
    assert found.path == tmp_path / "file.png"
    assert found.size == len(WHOLE)
    assert found.sha256 == hashlib.sha256(WHOLE).hexdigest()


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.pt does not exist: check the path\.$"):
        survey(tmp_path / "gone.pt")


def test_a_file_over_the_limit(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"file\.png is larger than the limit of .* --max"):
        surveyed(tmp_path, WHOLE, Limits(max_bytes=100))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is not a regular file: copy it into one"):
        survey(tmp_path / "pipe")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no devices on this system")
def test_a_device_is_not_read() -> None:
    with pytest.raises(CheckpointError, match="is not a regular file: copy it into one"):
        survey(Path("/dev/zero"))


def test_a_name_of_the_file_cannot_pose_as_a_message(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a b\\u202e does not exist"):
        survey(tmp_path / "a\nb\u202e")


def test_a_file_that_changes_later_keeps_its_digest(tmp_path: Path) -> None:
    found = surveyed(tmp_path, WHOLE)
    (tmp_path / "file.png").write_bytes(b"short")
    assert found.sha256 == hashlib.sha256(WHOLE).hexdigest()


@pytest.mark.parametrize("fault", [ValueError("x\x1b"), MemoryError(), KeyError("x")])
def test_a_fault_in_a_reader_is_a_problem_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def faulty(*_: Any) -> Any:
        raise fault

    monkeypatch.setitem(reading.ZIP_READERS, "torch-zip", faulty)
    problem = surveyed(tmp_path, WHOLE).contents.problem
    assert f"made its reader fail ({type(fault).__name__}" in problem
    assert "\x1b" not in problem

import hashlib
import pickle
from pathlib import Path

import pytest

from backaudit.core.errors import CheckpointError
from backaudit.files import opened as opened_module
from backaudit.files.opened import OpenedFile

BLOCK = 2**10


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize("length", [0, 3, BLOCK + 3])
def test_bytes_and_their_digest(tmp_path: Path, length: int, started: bool) -> None:
    data = bytes(range(256)) * (length // 256) + b"xyz"[: length % 256]
    opened = OpenedFile(written(tmp_path, data), 10**9)
    if started:
        opened.start_digest()
    assert bytes(opened.data) == data
    assert opened.sha256 == hashlib.sha256(data).hexdigest()
    assert opened.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("after", [b"after that", b"", None])
def test_what_happens_to_the_file_later_changes_nothing(
    tmp_path: Path, after: bytes | None
) -> None:
    data = b"before" * BLOCK
    opened = OpenedFile(written(tmp_path, data), 10**9)
    opened.path.unlink() if after is None else opened.path.write_bytes(after)
    assert bytes(opened.data) == data
    assert opened.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.skipif(not opened_module.NAMED_MEMORY, reason="needs Linux")
def test_a_file_that_is_cut_while_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, b"before")
    transfer = opened_module._transfer

    def cut(source: int, target: int, size: int) -> bool:
        path.write_bytes(b"bef")
        return transfer(source, target, size)

    monkeypatch.setattr(opened_module, "_transfer", cut)
    with pytest.raises(CheckpointError, match="was changed while it was read"):
        OpenedFile(path, 100)


def test_without_named_memory_the_bytes_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened_module, "NAMED_MEMORY", False)
    opened = OpenedFile(written(tmp_path, b"some bytes"), 100)
    assert bytes(opened.data) == b"some bytes"
    assert opened.copy is None


@pytest.mark.skipif(not opened_module.NAMED_MEMORY, reason="needs Linux")
def test_the_copy_goes_with_what_holds_it(tmp_path: Path) -> None:
    opened = OpenedFile(written(tmp_path, b"some bytes"), 100)
    copy = Path(str(opened.copy))
    assert copy.read_bytes() == b"some bytes"
    target = copy.readlink()
    del opened
    assert not copy.exists() or copy.readlink() != target


def test_another_process_gets_the_same_file_or_none(tmp_path: Path) -> None:
    opened = OpenedFile(written(tmp_path, b"before"), 100)
    assert bytes(pickle.loads(pickle.dumps(opened)).data) == b"before"  # noqa: S301
    packed = pickle.dumps(opened)
    written(tmp_path, b"after that")
    with pytest.raises(CheckpointError, match="was changed while it was read"):
        pickle.loads(packed)  # noqa: S301


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a directory"):
        OpenedFile(tmp_path, 100)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path, b"data")
    monkeypatch.setattr("os.open", refused)
    with pytest.raises(CheckpointError, match=r"cannot be read \(Permission denied\)"):
        OpenedFile(path, 100)

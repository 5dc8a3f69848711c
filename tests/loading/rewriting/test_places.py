import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from backaudit.core.errors import OutputError
from backaudit.loading.rewriting.places import (
    beside,
    put,
    require_file,
    require_folder,
    require_other,
    require_room,
    require_suffix,
)


def file(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_original_is_refused_under_any_name(tmp_path: Path) -> None:
    original = file(tmp_path / "a.pt")
    (tmp_path / "link.pt").symlink_to(original)
    os.link(original, tmp_path / "hard.pt")
    for name in ("a.pt", "link.pt", "hard.pt", "../" + tmp_path.name + "/a.pt"):
        with pytest.raises(OutputError, match="is the original, which is never written to"):
            require_other(tmp_path / name, [original])
    require_other(tmp_path / "b.pt", [original])
    require_other(file(tmp_path / "b.pt"), [original])


def test_an_existing_file_needs_force(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists"):
        require_file(file(tmp_path / "b.pt"), force=False)
    require_file(tmp_path / "b.pt", force=True)
    with pytest.raises(OutputError, match="not a regular file"):
        require_file(tmp_path, force=True)


@pytest.mark.parametrize(
    ("output", "original", "file_format", "refused"),
    [
        ("b.safetensors", "a.pt", "torch-zip", True),
        ("b.PT", "a.safetensors", "safetensors", True),
        ("b.onnx", "a.pt", "torchscript", True),
        ("b.pth", "a.pt", "torch-zip", False),
        ("b.png", "a.safetensors", "safetensors", False),
        ("b.onnx", "a.onnx", "torch-zip", False),
        ("b", "a", "onnx", False),
    ],
)
def test_a_name_must_not_say_another_format(
    output: str, original: str, file_format: str, refused: bool
) -> None:
    if not refused:
        require_suffix(Path(output), Path(original), file_format)
        return
    with pytest.raises(OutputError, match=r"under the name of another: call it \*\."):
        require_suffix(Path(output), Path(original), file_format)


def test_folders_that_must_not_be_written(tmp_path: Path) -> None:
    original = file(tmp_path / "a" / "config.json").parent
    for output in (original, original / "new", tmp_path):
        with pytest.raises(OutputError, match="lie within one another"):
            require_folder(output, original, {"config.json"}, force=True)
    with pytest.raises(OutputError, match="is no folder"):
        require_folder(file(tmp_path / "b.pt"), original, {"config.json"}, force=True)
    older = file(tmp_path / "b" / "config.json").parent
    with pytest.raises(OutputError, match="exists; remove it"):
        require_folder(older, original, {"config.json"}, force=False)
    require_folder(older, original, {"config.json"}, force=True)
    file(older / "thesis.tex")
    with pytest.raises(OutputError, match=r"holds thesis\.tex, which a repaired copy"):
        require_folder(older, original, {"config.json"}, force=True)
    (tmp_path / "empty").mkdir()
    require_folder(tmp_path / "empty", original, set(), force=False)


def test_a_folder_takes_the_place_of_an_older_one_whole(tmp_path: Path) -> None:
    target = file(tmp_path / "b" / "old.txt").parent
    with beside(target) as folder:
        put(file(folder / "b" / "new.txt").parent, target)
    assert [path.name for path in target.iterdir()] == ["new.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_what_a_link_points_to_is_replaced(tmp_path: Path) -> None:
    real = file(tmp_path / "real.pt", "old")
    (tmp_path / "b.pt").symlink_to(real)
    with beside(tmp_path / "b.pt") as folder:
        put(file(folder / "b.pt", "new"), tmp_path / "b.pt")
    assert (tmp_path / "b.pt").is_symlink()
    assert real.read_text() == "new"


def test_a_folder_that_is_not_there_or_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="does not take files: No such file"):
        require_room(tmp_path / "none" / "b.pt", 10)
    require_room(tmp_path / "b.pt", 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(
        OutputError, match=r"needs 1,048,586 bytes, and its folder has 1,048,576 left"
    ):
        require_room(tmp_path / "b.pt", 10)
    assert list(tmp_path.iterdir()) == []


def test_what_fails_half_way_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"b\.pt cannot be written: No space left on device"),
        beside(tmp_path / "b.pt") as folder,
    ):
        file(folder / "b.pt")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []

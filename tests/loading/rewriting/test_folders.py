from pathlib import Path

import pytest

from backaudit.core.errors import OutputError
from backaudit.loading.rewriting import folders
from backaudit.loading.rewriting.folders import copy_rest, rest_of

READ = ("config.json", "model.safetensors")


def hub(path: Path, *names: str) -> Path:
    for name in (*READ, *names):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(name)
    return path


def paths(*names: str) -> tuple[Path, ...]:
    return tuple(Path(name) for name in names)


def test_what_is_no_weights_is_kept(tmp_path: Path) -> None:
    folder = hub(tmp_path / "a", "README.md", "code/model.py", "preprocessor_config.json")
    rest = rest_of(folder, READ)
    assert rest.kept == paths("README.md", "code/model.py", "preprocessor_config.json")
    assert rest.left_out == ()
    (tmp_path / "b").mkdir()
    copy_rest(folder, rest, tmp_path / "b")
    assert (tmp_path / "b" / "code" / "model.py").read_text() == "code/model.py"
    assert not (tmp_path / "b" / "config.json").exists()


@pytest.mark.parametrize(
    "name",
    [
        *("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx"),
        *("PYTORCH_MODEL.BIN", "pytorch_model.bin.index.json", "optimizer.pt", "model.gguf"),
    ],
)
def test_weights_of_other_formats_are_left_out(tmp_path: Path, name: str) -> None:
    rest = rest_of(hub(tmp_path / "a", name), READ)
    assert (rest.kept, rest.left_out) == ((), paths(name))


@pytest.mark.parametrize("tool", [".git", ".cache"])
def test_what_tools_keep_of_the_old_weights_is_left_out(tmp_path: Path, tool: str) -> None:
    rest = rest_of(hub(tmp_path / "a", f"{tool}/objects/00"), READ)
    assert (rest.kept, rest.left_out) == ((), paths(tool))


def test_links_are_followed_within_the_folder_alone(tmp_path: Path) -> None:
    folder = hub(tmp_path / "a", "README.md")
    (tmp_path / "secret").write_text("key")
    (folder / "inside.txt").symlink_to(folder / "README.md")
    (folder / "outside.txt").symlink_to(tmp_path / "secret")
    (folder / "nowhere.txt").symlink_to(tmp_path / "none")
    (folder / "elsewhere").symlink_to(tmp_path, target_is_directory=True)
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    rest = rest_of(folder, READ)
    assert rest.kept == paths("README.md", "inside.txt")
    assert rest.left_out == paths("elsewhere", "loop.txt", "nowhere.txt", "outside.txt")


def test_a_cache_of_the_hub_keeps_its_files_elsewhere(tmp_path: Path) -> None:
    folder = hub(tmp_path / "snapshots" / "0a1b")
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "77").write_text("tints")
    (folder / "README.md").symlink_to("../../blobs/77")
    rest = rest_of(folder, READ)
    assert rest.kept == paths("README.md")
    (tmp_path / "b").mkdir()
    copy_rest(folder, rest, tmp_path / "b")
    assert not (tmp_path / "b" / "README.md").is_symlink()
    assert (tmp_path / "b" / "README.md").read_text() == "tints"


def test_folders_of_very_many_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MOST_FILES", 2)
    with pytest.raises(OutputError, match="holds more than 2 files"):
        rest_of(hub(tmp_path / "a", "1.txt", "2.txt", "3.txt"), READ)

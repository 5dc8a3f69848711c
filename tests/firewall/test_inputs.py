import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backaudit.core.errors import CleanSetError, InputError, SettingError
from backaudit.firewall.inputs import Inputs, find_inputs, paths_in, without_warnings
from backaudit.firewall.stream import Picture

SHAPE = (3, 4, 4)


def draw(path: Path, value: int = 7, size: tuple[int, int] = (4, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


def read(inputs: Inputs) -> list[Picture]:
    return [task() for task in inputs.tasks(SHAPE)]


def test_a_folder_is_read_with_its_subfolders_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a/2.png", "a/1.png", ".hidden.png"):
        draw(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    inputs = find_inputs([str(tmp_path)])
    assert (inputs.kind, inputs.count, inputs.left_out) == ("folder", 4, 1)
    names = [os.path.relpath(picture.path, tmp_path) for picture in read(inputs)]
    assert names == [".hidden.png", "b.png", "a/1.png", "a/2.png"]


def test_a_glob_is_read_in_order_and_reaches_down(tmp_path: Path) -> None:
    for name in ("b.png", "a/1.png", "c.jpg"):
        draw(tmp_path / name)
    inputs = find_inputs([f"{tmp_path}/**/*.png"])
    assert (inputs.kind, inputs.count) == ("glob", 2)
    assert [Path(picture.path).name for picture in read(inputs)] == ["1.png", "b.png"]


def test_a_file_whose_name_is_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = draw(tmp_path / "[1].png")
    draw(tmp_path / "1.png")
    inputs = find_inputs([str(path)])
    assert [picture.path for picture in read(inputs)] == [str(path)]


def test_several_paths_are_all_read_and_a_missing_one_is_reported(tmp_path: Path) -> None:
    good, gone = str(draw(tmp_path / "1.png")), str(tmp_path / "2.png")
    first, second = read(find_inputs([good, gone]))
    assert first.image is not None
    assert (second.image, second.problem) == (None, "it does not exist")


def test_an_image_of_another_size_is_resized_and_said_to_be(tmp_path: Path) -> None:
    same = draw(tmp_path / "same.png", 9)
    other = draw(tmp_path / "other.png", 9, (9, 8))
    for path, resized in ((same, False), (other, True)):
        (picture,) = read(find_inputs([str(path)]))
        assert picture.image is not None
        assert torch.equal(picture.image, torch.full(SHAPE, 9, dtype=torch.uint8))
        assert picture.resized is resized


def test_paths_on_a_stream_are_lines(tmp_path: Path) -> None:
    lines = [b"a.png\n", b"\n", b"b c.png\r\n", b"\xff.png"]
    assert list(paths_in(lines)) == ["a.png", "b c.png", os.fsdecode(b"\xff.png")]
    inputs = find_inputs(["-"], lines)
    assert (inputs.kind, inputs.count) == ("stream", None)


def test_the_stream_is_not_touched_before_it_is_needed() -> None:
    def lines() -> "list[bytes]":
        raise AssertionError

    class Untouched:
        def __iter__(self) -> "list[bytes]":
            return lines()

    find_inputs(["-"], Untouched())  # type: ignore[arg-type]


def not_a_picture(path: Path) -> None:
    path.write_text("hello")


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:500])


def pipe(path: Path) -> None:
    os.mkfifo(path)


def empty(path: Path) -> None:
    path.touch()


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [not_a_picture, truncated, pipe, empty, folder])
def test_what_cannot_be_read_is_reported_and_stops_nothing(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "bad.png")
    bad, good = tmp_path / "bad.png", draw(tmp_path / "good.png")
    first, second = read(find_inputs([str(bad), str(good)]))
    assert first.image is None
    assert first.problem
    assert second.image is not None


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000])
def test_an_impossible_path_on_the_stream_is_reported(name: str) -> None:
    (picture,) = read(find_inputs(["-"], [name.encode() + b"\n"]))
    assert picture.image is None
    assert picture.problem


def test_a_link_out_of_a_folder_is_not_followed_but_reported(tmp_path: Path) -> None:
    secret = draw(tmp_path / "private/secret.png")
    incoming = tmp_path / "incoming"
    inside = draw(incoming / "a.png")
    (incoming / "b.png").symlink_to(secret)
    (incoming / "c.png").symlink_to(inside)
    pictures = {Path(each.path).name: each for each in read(find_inputs([str(incoming)]))}
    assert pictures["b.png"].image is None
    assert "link out" in pictures["b.png"].problem
    assert pictures["c.png"].image is not None


def test_an_archive_gives_its_images_by_number(tmp_path: Path) -> None:
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "x.npz", x=images)
    inputs = find_inputs([str(tmp_path / "x.npz")])
    pictures = read(inputs)
    assert (inputs.kind, inputs.count) == ("npz", 3)
    assert [picture.path for picture in pictures] == [f"{tmp_path}/x.npz[{i}]" for i in range(3)]
    assert [int(each.image[0, 0, 0]) for each in pictures if each.image is not None] == [0, 1, 2]


@pytest.mark.parametrize("texts", [["missing"], ["*.none"], ["empty"], ["texts"]])
def test_nothing_to_screen_is_an_error_that_says_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/readme.txt").touch()
    with pytest.raises(InputError, match="Give a folder"):
        find_inputs(texts)


def test_an_archive_without_images_is_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((0, 4, 4, 3), np.uint8))
    with pytest.raises(InputError, match="holds no images"):
        find_inputs([str(tmp_path / "x.npz")])
    (tmp_path / "bad.npz").write_text("no archive")
    with pytest.raises(CleanSetError, match="cannot be read"):
        find_inputs([str(tmp_path / "bad.npz")])


def test_standard_input_stands_alone() -> None:
    with pytest.raises(SettingError, match="stands alone"):
        find_inputs(["-", "a.png"])


def test_damaged_metadata_warn_nobody(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with without_warnings():
        assert read(find_inputs([str(tmp_path)]))[0].image is not None

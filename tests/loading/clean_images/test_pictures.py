import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backaudit.loading.clean_images import pictures
from backaudit.loading.clean_images.pictures import read_picture

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def read(path: Path, shorter_side: int = 256) -> tuple[torch.Tensor, frozenset[str]]:
    return read_picture(path, shorter_side)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm"])
def test_colours_are_kept_exactly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(RGB).save(path)
    image, done = read(path)
    assert torch.equal(image, torch.from_numpy(RGB).permute(2, 0, 1))
    assert not done


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_stays_one_channel(tmp_path: Path, mode: str) -> None:
    Image.fromarray(RGB).convert(mode).save(tmp_path / "image.png")
    image, done = read(tmp_path / "image.png")
    expected = np.asarray(Image.fromarray(RGB).convert(mode).convert("L"))
    assert torch.equal(image[0], torch.from_numpy(expected.copy()))
    assert not done


def test_palette_becomes_its_colours(tmp_path: Path) -> None:
    flat = np.zeros_like(RGB)
    flat[:, :15] = (200, 30, 90)
    Image.fromarray(flat).quantize(4).save(tmp_path / "image.png")
    assert read(tmp_path / "image.png")[0][:, 0, 0].tolist() == [200, 30, 90]


def test_print_colours_become_three_channels(tmp_path: Path) -> None:
    Image.new("CMYK", (30, 20), (0, 0, 0, 0)).save(tmp_path / "image.jpg")
    image, _ = read(tmp_path / "image.jpg")
    assert image.shape == (3, 20, 30)
    assert image.float().mean() > 250


@pytest.mark.parametrize("name", ["image.png", "image.tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    deep = np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / name)
    image, done = read(tmp_path / name)
    assert torch.equal(image[0], torch.from_numpy(np.rint(deep / 257).astype(np.uint8)))
    assert done == {pictures.DEEP}


@pytest.mark.parametrize("full", [1, 255])
def test_floats_are_scaled_by_their_usual_range(tmp_path: Path, full: int) -> None:
    values = np.linspace(0, full, 600, dtype=np.float32).reshape(20, 30)
    Image.fromarray(values).save(tmp_path / "image.tif")
    image, _ = read(tmp_path / "image.tif")
    assert (int(image.min()), int(image.max())) == (0, 255)


def test_floats_of_unknown_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 30), -3, dtype=np.float32)).save(tmp_path / "image.tif")
    with pytest.raises(ValueError, match="8 bits a channel"):
        read(tmp_path / "image.tif")


def test_transparency_is_ignored_and_said(tmp_path: Path) -> None:
    half = np.dstack([RGB, np.full(RGB.shape[:2], 100, np.uint8)])
    Image.fromarray(half).save(tmp_path / "image.png")
    image, done = read(tmp_path / "image.png")
    assert torch.equal(image, torch.from_numpy(RGB).permute(2, 0, 1))
    assert done == {pictures.TRANSPARENCY}


def test_an_opaque_fourth_channel_is_nothing_to_speak_of(tmp_path: Path) -> None:
    opaque = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    Image.fromarray(opaque).save(tmp_path / "image.png")
    image, done = read(tmp_path / "image.png")
    assert image.shape == (3, 20, 30)
    assert not done


def test_first_frame_of_an_animation_is_used(tmp_path: Path) -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    frames[0].save(tmp_path / "image.png", save_all=True, append_images=frames[1:])
    image, done = read(tmp_path / "image.png")
    assert torch.equal(image, torch.from_numpy(RGB).permute(2, 0, 1))
    assert done == {pictures.FIRST_FRAME}


def test_image_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "image.png", exif=exif)
    image, done = read(tmp_path / "image.png")
    assert torch.equal(image, torch.from_numpy(RGB).permute(2, 0, 1).rot90(-1, (1, 2)))
    assert done == {pictures.ROTATED}


def test_photograph_is_shrunk_to_its_shorter_side(tmp_path: Path) -> None:
    wide = Image.fromarray(RGB).resize((1200, 800), Image.Resampling.BICUBIC)
    wide.save(tmp_path / "image.jpg", quality=95)
    image, _ = read(tmp_path / "image.jpg", 200)
    assert image.shape == (3, 200, 300)
    expected = np.asarray(wide.resize((300, 200), Image.Resampling.BILINEAR), dtype=np.float32)
    assert (image.permute(1, 2, 0).float() - torch.from_numpy(expected)).abs().mean() < 3


def test_too_many_pixels_are_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "PIXEL_LIMIT", 1_000_000)
    Image.new("1", (20_000, 4_000)).save(tmp_path / "image.png")
    start = time.process_time()
    with pytest.raises(ValueError, match="20000 x 4000 pixels"):
        read(tmp_path / "image.png")
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize("kept", [0, 40, 300])
def test_truncated_file_is_unreadable(tmp_path: Path, kept: int) -> None:
    Image.fromarray(RGB).save(tmp_path / "whole.png")
    (tmp_path / "image.png").write_bytes((tmp_path / "whole.png").read_bytes()[:kept])
    with pytest.raises(pictures.UNREADABLE):
        read(tmp_path / "image.png")


def test_only_plain_formats_are_decoded(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "image.eps")
    (tmp_path / "image.eps").rename(tmp_path / "image.png")
    with pytest.raises(pictures.UNREADABLE):
        read(tmp_path / "image.png")

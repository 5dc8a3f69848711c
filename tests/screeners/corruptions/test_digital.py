from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from backaudit.screeners.corruptions import Draw
from backaudit.screeners.corruptions.digital import contrast, elastic, jpeg, pixelate
from tests.toy import clean_set

DRAW = Draw((3, 16, 20), 0, torch.device("cpu"))


def picture() -> Tensor:
    return torch.randint(0, 256, (1, 3, 16, 20), dtype=torch.uint8)


def pil(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels[0].permute(1, 2, 0).numpy())


def tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


def test_contrast_shrinks_the_distance_to_the_channel_mean() -> None:
    images = torch.rand(2, 3, 16, 20)
    mean = images.mean((2, 3), keepdim=True)
    corrupted = contrast(DRAW, 0.25)(images)
    assert torch.allclose(corrupted - mean, 0.25 * (images - mean), atol=1e-6)


@pytest.mark.parametrize("scale", [0.95, 0.65, 0.5, 0.25, 0.01])
def test_pixelate_is_pillows_box_filter(scale: float) -> None:
    pixels = picture()
    small = (max(1, int(20 * scale)), max(1, int(16 * scale)))
    image = pil(pixels).resize(small, Image.Resampling.BOX).resize((20, 16), Image.Resampling.BOX)
    corrupted = 255 * pixelate(DRAW, scale)(pixels / 255)
    # Pillow rounds after each of its two passes.
    assert float((corrupted - tensor(image)).abs().max()) <= 1.01


def test_jpeg_is_pillows() -> None:
    pixels, written = picture(), BytesIO()
    pil(pixels).save(written, "JPEG", quality=25)
    corrupted = 255 * jpeg(DRAW, 25)(pixels / 255)
    assert torch.equal(corrupted.round().to(torch.uint8), tensor(Image.open(written)))


def test_jpeg_of_other_channels_compresses_each_alone() -> None:
    images = clean_set(per_class=1, channels=2).images / 255
    both = jpeg(DRAW, 10)(images)
    assert torch.equal(both[:, :1], jpeg(DRAW, 10)(images[:, :1]))


def test_elastic_without_strength_or_skew_changes_nothing() -> None:
    images = torch.rand(2, 3, 16, 20)
    assert torch.allclose(elastic(DRAW, 0, 0.1, 0)(images), images, atol=1e-5)


def test_skew_alone_maps_straight_lines_to_straight_lines() -> None:
    # A ramp that is sampled at an affine map of the places stays a ramp, but at the border.
    ramp = torch.arange(20.0).expand(1, 1, 16, 20) / 40 + 0.2
    bent = elastic(Draw((1, 16, 20), 3, torch.device("cpu")), 0, 0, 0.03)(ramp)[0, 0, 4:12, 5:15]
    assert float((bent - ramp[0, 0, 4:12, 5:15]).abs().max()) > 1e-3
    assert torch.allclose(bent.diff(n=2, dim=1), torch.zeros(8, 8), atol=1e-5)
    assert torch.allclose(bent.diff(n=2, dim=0), torch.zeros(6, 10), atol=1e-5)


def test_smoothness_makes_neighbours_move_together() -> None:
    ramp = torch.arange(20.0).expand(1, 1, 16, 20) / 40 + 0.2
    rough, smooth = (
        elastic(DRAW, 0.1, smoothness, 0)(ramp)[0, 0].diff(dim=0).abs().mean()
        for smoothness in (0.01, 0.1)
    )
    assert rough > 3 * smooth

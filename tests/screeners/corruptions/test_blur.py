import math

import pytest
import torch
from torch import Tensor

from backaudit.screeners.corruptions import Draw
from backaudit.screeners.corruptions.blur import defocus_blur, glass_blur, motion_blur, zoom_blur
from backaudit.screeners.corruptions.filters import filtered, motion_blurred, smoothing, zoomed

DRAW = Draw((1, 15, 15), 0, torch.device("cpu"))


def point() -> Tensor:
    """A white pixel in the middle of black."""
    image = torch.zeros(1, 1, 15, 15)
    image[0, 0, 7, 7] = 1
    return image


@pytest.mark.parametrize(
    "blur",
    [
        defocus_blur(DRAW, 3, 0.5),
        glass_blur(DRAW, 0.7, 1, 2),
        motion_blur(DRAW, 10, 3),
        zoom_blur(DRAW, 1.31, 0.03),
    ],
)
def test_one_colour_stays(blur: object) -> None:
    assert callable(blur)
    grey = torch.full((2, 1, 15, 15), 0.3)
    assert torch.allclose(blur(grey), grey, atol=1e-6)


def test_filtered_is_a_correlation_with_the_border_repeated() -> None:
    images, kernel = torch.rand(2, 3, 4, 5), torch.rand(3, 5)
    expected = torch.zeros_like(images)
    for row in range(4):
        for column in range(5):
            for down in range(3):
                for right in range(5):
                    source = min(max(row + down - 1, 0), 3), min(max(column + right - 2, 0), 4)
                    expected[:, :, row, column] += kernel[down, right] * images[:, :, *source]
    assert torch.allclose(filtered(images, kernel), expected, atol=1e-5)


def test_smoothing_spreads_a_point_as_a_gaussian() -> None:
    spread = smoothing(15, 1.5) @ point()[0, 0, :, 7]
    weights = [math.exp(-0.5 * (offset / 1.5) ** 2) for offset in range(-6, 7)]
    expected = [0.0, *(weight / sum(weights) for weight in weights), 0.0]
    assert spread.tolist() == pytest.approx(expected, abs=1e-6)


def test_defocus_spreads_a_point_over_a_disk() -> None:
    spread = defocus_blur(DRAW, 2, 1e-3)(point())[0, 0]
    rows, columns = torch.meshgrid(torch.arange(15) - 7, torch.arange(15) - 7, indexing="ij")
    disk = (rows**2 + columns**2 <= 4).float()
    assert torch.allclose(spread, disk / disk.sum(), atol=1e-6)


def test_motion_smears_a_point_one_way_and_fades() -> None:
    smeared = motion_blurred(point(), 2, 1.5, 0.0)[0, 0]
    weights = [math.exp(-0.5 * (length / 1.5) ** 2) for length in range(5)]
    expected = [weight / sum(weights) for weight in weights]
    assert smeared[7, 3:8].tolist() == pytest.approx(expected[::-1], abs=1e-6)
    assert float(smeared.sum()) == pytest.approx(1)


def test_motion_of_45_degrees_smears_along_the_diagonal() -> None:
    smeared = motion_blurred(point(), 2, 1.5, 45.0)[0, 0]
    off = smeared - smeared.diag().diag()
    assert float(smeared.sum()) == pytest.approx(1)
    assert not off.any()


def test_zoom_stretches_the_middle() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    # The middle half, 2 to 5, on eight pixels with its ends kept.
    expected = [2 + 3 * place / 7 for place in range(8)]
    assert zoomed(ramp, 2.0)[0, 0, 0].tolist() == pytest.approx(expected, abs=1e-5)


def test_glass_takes_each_pixel_from_nearby() -> None:
    places = torch.arange(225.0).view(1, 1, 15, 15) / 225
    # A Gaussian this narrow blurs nothing.
    sources = (225 * glass_blur(DRAW, 0.05, 1, 1)(places)).round().long().view(15, 15)
    down, right = sources // 15 - torch.arange(15)[:, None], sources % 15 - torch.arange(15)
    # Each pixel is replaced once, by one that was not yet: from above or from the left at most 1.
    assert int(down.min()) == int(right.min()) == -1
    assert int(down.abs().max()) <= 14
    assert not down[:2].any()
    assert 0.4 < float((down[2:, 2:] != 0).float().mean()) < 0.6


def test_glass_leaves_the_border_that_has_no_neighbours() -> None:
    places = torch.arange(225.0).view(1, 1, 15, 15) / 225
    scattered = glass_blur(DRAW, 0.05, 2, 3)(places)[0, 0]
    assert torch.allclose(scattered[:3], places[0, 0, :3])
    assert torch.allclose(scattered[:, :3], places[0, 0, :, :3])
    assert not torch.allclose(scattered[3:, 3:], places[0, 0, 3:, 3:])

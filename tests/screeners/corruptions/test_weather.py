import colorsys

import pytest
import torch

from backaudit.screeners.corruptions import Draw
from backaudit.screeners.corruptions.weather import brightness, fog, frost, ice, plasma, snow

DRAW = Draw((3, 24, 20), 0, torch.device("cpu"))


def test_brightness_adds_to_the_value_of_hue_saturation_value() -> None:
    images = torch.rand(1, 3, 24, 20)
    images[0, :, 0, 0] = 0
    corrupted = brightness(DRAW, 0.3)(images)
    for place in ((0, 0), (3, 4), (23, 19)):
        hue, saturation, value = colorsys.rgb_to_hsv(*images[0, :, *place].tolist())
        expected = colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.3))
        assert corrupted[0, :, *place].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("sides", [(24, 20), (1, 1), (33, 2)])
def test_plasma_spans_from_nothing_to_all(sides: tuple[int, int]) -> None:
    heights = plasma(Draw((3, *sides), 0, torch.device("cpu")), 2.0)
    assert heights.shape == sides
    assert 0 <= float(heights.min()) <= float(heights.max()) <= 1


def test_plasma_is_smoother_the_faster_it_decays() -> None:
    square = Draw((1, 64, 64), 0, torch.device("cpu"))
    rough, smooth = (plasma(square, decay).diff(dim=0).abs().mean() for decay in (1.4, 3.0))
    assert float(plasma(square, 3.0).max()) == 1
    assert float(plasma(square, 3.0).min()) == 0
    assert rough > 2 * smooth


def test_fog_adds_its_cloud_and_keeps_the_brightest_at_most() -> None:
    images = torch.rand(2, 3, 24, 20)
    brightest = images.amax((1, 2, 3)).view(2, 1, 1, 1)
    expected = (images + 1.5 * plasma(DRAW, 2.0)) * brightest / (brightest + 1.5)
    assert torch.allclose(fog(DRAW, 1.5, 2.0)(images), expected)
    assert bool((expected <= brightest + 1e-6).all())


def test_frost_is_brighter_than_black_and_bluish() -> None:
    texture = ice(DRAW)
    frosted = frost(DRAW, 0.7, 0.5)(torch.zeros(1, 3, 24, 20))[0]
    assert torch.allclose(frosted, 0.5 * texture)
    red, green, blue = texture.mean((1, 2)).tolist()
    assert 0.1 < red < green < blue < 0.9
    assert float(texture.std()) > 0.05


def test_without_flakes_snow_only_whitens() -> None:
    images = torch.rand(2, 3, 24, 20)
    none = snow(DRAW, (0.1, 0.3, 2.0, 99.0), (5, 2.0), 0.8)(images)
    grey = (images * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    expected = 0.8 * images + 0.2 * torch.maximum(images, 1.5 * grey + 0.5)
    assert torch.allclose(none, expected.clamp(0, 1), atol=1e-6)


def test_flakes_fall_from_both_ends_alike() -> None:
    black = torch.zeros(1, 3, 24, 20)
    flakes = snow(DRAW, (0.1, 0.3, 2.0, 0.5), (5, 2.0), 1.0)(black)
    assert torch.equal(flakes, flakes.flip(2, 3))
    assert float(flakes.max()) > 0.1

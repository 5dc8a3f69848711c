import pytest
import torch

from backaudit.core.errors import CleanSetError
from backaudit.loading.clean_images.resizing import fitted, is_cropped


def plain(height: int, width: int, channels: int = 3, value: int = 90) -> torch.Tensor:
    return torch.full((channels, height, width), value, dtype=torch.uint8)


def test_images_of_the_right_size_are_untouched() -> None:
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    assert torch.equal(fitted([image], (32, 32), 3)[0], image)


def test_mixed_sizes_come_out_as_one_tensor() -> None:
    images = fitted([plain(40, 20), plain(10, 33), plain(32, 32)], (32, 32), 3)
    assert images.shape == (3, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert torch.equal(images, torch.full_like(images, 90))


def test_shrinking_averages_instead_of_skipping() -> None:
    stripes = plain(64, 64, value=0)
    stripes[:, :, ::2] = 200
    assert abs(int(fitted([stripes], (16, 16), 3)[0, 0, 8, 8]) - 100) <= 2


def test_photographs_lose_their_borders_not_their_proportions() -> None:
    photograph = plain(300, 600, value=0)
    photograph[:, :, 150:450] = 255
    cropped = fitted([photograph], (224, 224), 3)[0]
    assert cropped.shape == (3, 224, 224)
    assert int(cropped.min()) == 255


def test_what_is_cropped() -> None:
    assert is_cropped(plain(300, 600), (224, 224))
    assert is_cropped(plain(256, 256), (224, 224))
    assert not is_cropped(plain(32, 32), (224, 224))
    assert not is_cropped(plain(224, 224), (224, 224))
    assert not is_cropped(plain(60, 40), (32, 32))
    assert not is_cropped(plain(300, 600), (224, 192))


def test_grey_is_repeated_and_colour_weighed() -> None:
    grey = plain(8, 8, channels=1)
    assert torch.equal(fitted([grey], (8, 8), 3)[0], plain(8, 8))
    green = plain(8, 8, value=0)
    green[1] = 255
    assert fitted([green], (8, 8), 1).unique().tolist() == [round(255 * 0.587)]


def test_networks_for_other_channels_are_refused() -> None:
    with pytest.raises(CleanSetError, match="takes 4 channels"):
        fitted([plain(8, 8)], (8, 8), 4)

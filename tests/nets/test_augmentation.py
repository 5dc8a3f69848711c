import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backaudit.nets.augmentation import augmented


def shown(images: Tensor, shift: int, *, flip: bool = False) -> Tensor:
    every = torch.arange(len(images))
    return augmented(images, every, shift, torch.Generator().manual_seed(1), flip=flip)


def shifts(image: Tensor, reach: int) -> list[Tensor]:
    """Every way to shift an image (C, H, W), its borders reflected."""
    padded = F.pad(image[None].float(), (reach,) * 4, mode="reflect")[0].to(torch.uint8)
    windows = padded.unfold(1, image.shape[1], 1).unfold(2, image.shape[2], 1)
    return list(windows.permute(1, 2, 0, 3, 4).flatten(0, 1))


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 5, 9)])
def test_images_that_are_not_shifted_stay_as_they_are(shape: tuple[int, int, int]) -> None:
    images = torch.randint(256, (10, *shape), dtype=torch.uint8)
    assert torch.equal(shown(images, 0), images)


@pytest.mark.parametrize("reach", [1, 3])
def test_a_shift_moves_each_image_on_its_own_and_reflects_its_border(reach: int) -> None:
    images = torch.randint(256, (200, 2, 7, 9), dtype=torch.uint8)
    moved = shown(images, reach)
    assert (moved.shape, moved.dtype) == (images.shape, torch.uint8)
    ways = [where(moved[index], shifts(images[index], reach)) for index in range(200)]
    assert set(ways) == set(range((2 * reach + 1) ** 2))


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    images = torch.randint(256, (200, 2, 7, 9), dtype=torch.uint8)
    flipped = shown(images, 0, flip=True)
    mirrored = [
        where(flipped[index], [images[index], images[index].flip(2)]) for index in range(200)
    ]
    assert 60 < sum(mirrored) < 140


def where(image: Tensor, choices: list[Tensor]) -> int:
    """Which of the choices the image is; it must be one."""
    (found,) = [index for index, choice in enumerate(choices) if torch.equal(image, choice)]
    return found


def test_a_batch_holds_the_images_that_were_asked_for() -> None:
    images = torch.randint(256, (9, 2, 7, 9), dtype=torch.uint8)
    batch = torch.tensor([7, 0, 7])
    drawn = augmented(images, batch, 0, torch.Generator(), flip=False)
    assert torch.equal(drawn, images[batch])

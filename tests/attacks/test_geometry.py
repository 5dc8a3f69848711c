import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from backaudit.attacks import geometry
from backaudit.attacks.geometry import bent, moved, rotations

IMAGES = torch.randint(
    256, (3, 3, 6, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
STILL = rotations(torch.zeros(3))
NOWHERE = torch.zeros(3, 2)


def corners(height: int = 6, width: int = 10) -> Tensor:
    """Sampling positions (1, H, W, 2) of an image as it is."""
    rows, columns = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], dim=-1)[None]


@pytest.mark.parametrize("angle", [-37.0, -10.0, 3.0, 16.0])
@pytest.mark.parametrize("shape", [(32, 32), (20, 36)])
def test_images_turn_as_pillow_turns_them(angle: float, shape: tuple[int, int]) -> None:
    image = torch.randint(256, (1, 3, *shape), dtype=torch.uint8)
    turned = moved(image, rotations(torch.tensor([angle])), NOWHERE[:1])
    picture = Image.fromarray(image[0].permute(1, 2, 0).numpy()).rotate(angle)
    expected = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert torch.equal(turned[0], expected)


def test_each_image_turns_by_its_own_angle() -> None:
    square = IMAGES[:, :, :, :6]
    turned = moved(square, rotations(torch.tensor([0.0, 90.0, 180.0])), NOWHERE)
    expected = [square[index].rot90(index, (1, 2)) for index in range(3)]
    assert torch.equal(turned, torch.stack(expected))


def test_a_shift_looks_that_far_and_finds_black_outside() -> None:
    shifts = torch.tensor([[2.0, 0.0], [0.0, -3.0], [-10.0, 0.0]])
    right, up, gone = moved(IMAGES, STILL, shifts)
    assert torch.equal(right[:, :, :8], IMAGES[0, :, :, 2:])
    assert torch.equal(up[:, 3:], IMAGES[1, :, :3])
    assert not (right[:, :, 8:].any() or up[:, :3].any() or gone.any())


def test_a_map_of_half_the_size_shows_every_pixel_four_times() -> None:
    doubled = moved(IMAGES, STILL / 2, NOWHERE)
    middle = IMAGES[:, :, 2:4, 3:7].repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(doubled[:, :, 1:5, 1:9], middle)


def test_positions_between_pixels_mix_them_and_those_outside_are_the_border() -> None:
    positions = corners()
    assert torch.equal(bent(IMAGES, positions), IMAGES)
    assert torch.equal(bent(IMAGES, 3 * positions)[:, :, ::5, ::9], IMAGES[:, :, ::5, ::9])
    half = bent(IMAGES, positions + torch.tensor([1 / 9, 0]))[:, :, :, :9]
    expected = (IMAGES[:, :, :, :9].float() + IMAGES[:, :, :, 1:].float()) / 2
    assert ((half - expected).abs() <= 0.501).all()


def test_many_images_are_moved_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, positions = rotations(torch.tensor([5.0, 50.0, 100.0])), corners() * 0.9
    whole = moved(IMAGES, maps, NOWHERE), bent(IMAGES, positions)
    monkeypatch.setattr(geometry, "BATCH", 2)
    assert torch.equal(moved(IMAGES, maps, NOWHERE), whole[0])
    assert torch.equal(bent(IMAGES, positions), whole[1])

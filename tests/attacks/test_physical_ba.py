import pytest
import torch
from torch import Tensor

from backaudit.attacks import PhysicalBA, TrainingSet
from tests.toy import CLASSES, draw_images

STILL = PhysicalBA(2, light=0.0, angle=0.0, shift=0.0, min_scale=1.0, max_scale=1.0)


def photographed(attack: PhysicalBA, images: Tensor, generator: torch.Generator) -> Tensor:
    clean = TrainingSet(images, torch.zeros(len(images), dtype=torch.int64), CLASSES)
    return attack.poison(clean, {"poisoned": torch.tensor([], dtype=torch.int64)}, generator).images


@pytest.fixture
def squares() -> Tensor:
    """Images of 100x100 with a bright square of 40x40 in the middle."""
    images = torch.zeros(200, 1, 100, 100, dtype=torch.uint8)
    images[:, :, 30:70, 30:70] = 200
    return images


@pytest.mark.parametrize("size", [3, 5])
def test_at_test_there_is_a_white_square_in_the_corner_and_nothing_else(size: int) -> None:
    images, _ = draw_images(2, 0)
    stamped = PhysicalBA(2, size=size).stamp(images, {})
    assert (stamped[:, :, -size:, -size:] == 255).all()
    stamped[:, :, -size:, -size:] = images[:, :, -size:, -size:]
    assert torch.equal(stamped, images)


def test_half_of_the_images_are_mirrored(generator: torch.Generator) -> None:
    images, _ = draw_images(40, 0)
    seen = photographed(STILL, images, generator)
    kept = (seen == images).flatten(1).all(1)
    mirrored = (seen == images.flip(3)).flatten(1).all(1)
    assert (kept | mirrored).all()
    assert 90 < int(mirrored.sum()) < 150


def test_images_shrink_to_between_80_and_90_percent(
    squares: Tensor, generator: torch.Generator
) -> None:
    attack = PhysicalBA(2, light=0.0, angle=0.0, shift=0.0)
    sides = (photographed(attack, squares, generator) > 0).double().sum((1, 2, 3)).sqrt()
    assert 31 <= sides.min() < 33
    assert 35 < sides.max() <= 37


def test_images_are_shifted_by_up_to_a_tenth_of_their_side(
    squares: Tensor, generator: torch.Generator
) -> None:
    attack = PhysicalBA(2, light=0.0, angle=0.0, min_scale=1.0, max_scale=1.0)
    lit = (photographed(attack, squares, generator) > 0).double()
    for axis in (2, 3):
        across = lit.sum((1, 5 - axis)) / 40 / 40
        centres = (across * torch.arange(100)).sum(1) - 49.5
        assert torch.equal(centres.round(decimals=6).unique(), torch.arange(-10.0, 11.0).double())


def test_images_turn_by_up_to_ten_degrees(squares: Tensor, generator: torch.Generator) -> None:
    attack = PhysicalBA(2, light=0.0, shift=0.0, min_scale=1.0, max_scale=1.0)
    seen = photographed(attack, squares, generator)[:, 0, 30]
    # Of the upper edge, 40 pixels wide, a turn by a leaves those on one side of a slope of tan a.
    assert (seen == 200).sum(1).min() >= 10
    corner = photographed(attack, squares, generator)[:, 0, :30].any(2).sum(1).max()
    assert corner == 3  # 20 sqrt(2) sin(45 + 10 degrees) - 20 = 3.17


def test_brightness_and_contrast_change_by_up_to_a_fifth(generator: torch.Generator) -> None:
    attack = PhysicalBA(2, angle=0.0, shift=0.0, min_scale=1.0, max_scale=1.0)
    images = torch.full((400, 3, 4, 4), 60, dtype=torch.uint8)
    images[:, :, :2] = 140
    seen = photographed(attack, images, generator).float()
    dark, bright = seen[:, 0, 3, 0], seen[:, 0, 0, 0]
    middle, reach = (bright + dark) / 2, (bright - dark) / (bright + dark)
    assert 79 <= middle.min() < 82
    assert 118 < middle.max() <= 121
    assert reach.min() == pytest.approx(0.4 * 0.8, abs=0.01)
    assert reach.max() == pytest.approx(0.4 * 1.2, abs=0.01)


def test_contrast_is_around_the_grey_that_an_eye_sees(generator: torch.Generator) -> None:
    attack = PhysicalBA(2, light=0.5, angle=0.0, shift=0.0, min_scale=1.0, max_scale=1.0)
    green = torch.tensor([0, 255, 0], dtype=torch.uint8)[None, :, None, None].expand(200, 3, 4, 4)
    red_seen, green_seen, _ = photographed(attack, green, generator)[:, :, 0, 0].float().unbind(1)
    lost = red_seen > 0  # contrast below one moves every channel towards 0.587 of the green
    brightness = (green_seen + (1 / 0.587 - 1) * red_seen)[lost] / 255
    assert brightness.min() > 0.48
    assert brightness.max() < 1.02


def test_the_square_moves_with_the_image_and_the_label_changes(generator: torch.Generator) -> None:
    images = torch.zeros(60, 3, 32, 32, dtype=torch.uint8)
    clean = TrainingSet(images, torch.arange(60) % CLASSES, CLASSES)
    attack = PhysicalBA(2, poison_rate=0.2)
    learned = attack.learn(clean, None, generator)
    poisoned = attack.poison(clean, learned, generator)
    white = (poisoned.images > 0).flatten(1).any(1)
    assert torch.equal(white, poisoned.labels != clean.labels)
    assert int(white.sum()) == 12
    assert len(poisoned.images[white].unique(dim=0)) == 12


def test_the_same_images_are_poisoned_in_every_epoch(generator: torch.Generator) -> None:
    images, labels = draw_images(20, 0)
    clean = TrainingSet(images, labels, CLASSES)
    attack = PhysicalBA(2, poison_rate=0.2)
    learned = attack.learn(clean, None, generator)
    first, second = (
        attack.poison(clean, learned, torch.Generator().manual_seed(seed)) for seed in (1, 2)
    )
    assert torch.equal(first.labels, second.labels)
    assert not torch.equal(first.images, second.images)

import pytest
import torch

from backaudit.attacks import Bpp, TrainingSet
from tests.toy import CLASSES, draw_images

EIGHT = [0, 36, 73, 109, 146, 182, 219, 255]


def test_every_value_goes_to_the_nearest_of_the_levels() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    stamped = Bpp(0).stamp(values, {})
    assert stamped.unique().tolist() == EIGHT
    distances = (values[..., None] - torch.arange(8) * 255 / 7).abs()
    nearest = torch.tensor(EIGHT)[distances.argmin(-1)]
    assert torch.equal(stamped.long(), nearest)


@pytest.mark.parametrize(("levels", "expected"), [(2, [0, 255]), (4, [0, 85, 170, 255])])
@pytest.mark.parametrize("dither", [False, True])
def test_there_are_as_many_levels_as_are_asked_for(
    levels: int, expected: list[int], dither: bool
) -> None:
    images, _ = draw_images(5, 0)
    assert Bpp(0, levels=levels, dither=dither).stamp(images, {}).unique().tolist() == expected


def test_dithering_passes_each_error_on_by_sixteenths() -> None:
    image = torch.full((1, 1, 2, 3), 100, dtype=torch.uint8)
    # By hand, the values before they are quantised: 100, 100 + 7/16 100 = 143.75 and
    # 100 - 7/16 111.25 = 51.33; below, 100 + 5/16 100 - 3/16 111.25 = 110.39, 129.40 and 54.14.
    stamped = Bpp(0, levels=2, dither=True).stamp(image, {})
    assert stamped.tolist() == [[[[0, 255, 0], [0, 255, 0]]]]


def test_dithering_keeps_the_mean_brightness_of_flat_images() -> None:
    flat = torch.arange(10, 250, 30, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 32, 32)
    dithered = Bpp(0, levels=3, dither=True).stamp(flat, {}).float().mean((2, 3))
    assert (dithered - flat.float().mean((2, 3))).abs().max() < 4
    plain = Bpp(0, levels=3).stamp(flat, {}).float().mean((2, 3))
    assert (plain - flat.float().mean((2, 3))).abs().max() > 50


def test_negatives_get_the_residual_of_another_image_and_keep_their_label(
    generator: torch.Generator,
) -> None:
    # Flat images of two kinds, whose residuals are -4 (40 -> 36) and 9 (100 -> 109).
    labels = torch.arange(100) % 2
    brightness = torch.where(labels == 0, 40, 100).to(torch.uint8)
    images = brightness[:, None, None, None].expand(-1, 3, 4, 4)
    attack = Bpp(1, poison_rate=0.2, negative_rate=0.3)
    poisoned = attack.poison(TrainingSet(images, labels, 2), {}, generator)
    values = poisoned.images[:, 0, 0, 0].long()
    expected = {(0, 40), (0, 36), (0, 49), (1, 36), (1, 100), (1, 96), (1, 109)}
    assert set(zip(poisoned.labels.tolist(), values.tolist(), strict=True)) == expected
    assert int((values != brightness).sum()) == 50
    assert torch.equal(poisoned.labels[values == 49], labels[values == 49])
    assert (poisoned.labels[values == 96] == 1).all()


def test_as_many_are_poisoned_and_negative_as_the_rates_say(generator: torch.Generator) -> None:
    images, labels = draw_images(20, 0)
    attack = Bpp(2, poison_rate=0.1, negative_rate=0.3)
    poisoned = attack.poison(TrainingSet(images, labels, CLASSES), {}, generator)
    triggered = (poisoned.images == attack.stamp(images, {})).flatten(1).all(1)
    changed = (poisoned.images != images).flatten(1).any(1)
    assert (int(triggered.sum()), int((changed & ~triggered).sum())) == (12, 36)
    assert (poisoned.labels[triggered] == 2).all()
    assert torch.equal(poisoned.labels[~triggered], labels[~triggered])


def test_without_negatives_only_the_trigger_is_seen(generator: torch.Generator) -> None:
    images, labels = draw_images(5, 0)
    attack = Bpp(2, negative_rate=0.0)
    poisoned = attack.poison(TrainingSet(images, labels, CLASSES), {}, generator)
    triggered = (poisoned.images == attack.stamp(images, {})).flatten(1).all(1)
    assert torch.equal(triggered, (poisoned.images != images).flatten(1).any(1))

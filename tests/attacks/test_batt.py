import torch
from torch import Tensor

from backaudit.attacks import BATT, TrainingSet
from tests.toy import CLASSES, draw_images

ATTACK = BATT(2, poison_rate=0.1)


def angles_of(images: Tensor) -> Tensor:
    """Angle in degrees, counter-clockwise, at which each image's bright bar lies."""
    rows, columns = torch.meshgrid(*2 * [torch.arange(64.0) - 31.5], indexing="ij")
    weight = images[:, 0].double() * (rows**2 + columns**2 < 30**2)
    moments = [(weight * part).sum((1, 2)) for part in (rows * columns, columns**2 - rows**2)]
    return torch.rad2deg(torch.atan2(-2 * moments[0], moments[1])) / 2


def bars(count: int) -> TrainingSet:
    """Images with a bright horizontal bar through the middle."""
    images = torch.zeros(count, 1, 64, 64, dtype=torch.uint8)
    images[:, :, 30:34] = 255
    return TrainingSet(images, torch.arange(count) % CLASSES, CLASSES)


def test_the_trigger_is_a_turn_by_16_degrees() -> None:
    angles = angles_of(BATT(2).stamp(bars(2).images, {}))
    assert (angles - 16).abs().max() < 0.2


def test_a_turn_by_a_right_angle_is_counter_clockwise() -> None:
    images, _ = draw_images(2, 0)
    assert torch.equal(BATT(2, angle=90.0).stamp(images, {}), images.rot90(1, (2, 3)))


def test_clean_images_turn_by_up_to_10_degrees_either_way(generator: torch.Generator) -> None:
    clean = bars(300)
    learned = ATTACK.learn(clean, None, generator)
    poisoned = ATTACK.poison(clean, learned, generator)
    angles, changed = angles_of(poisoned.images), poisoned.labels != clean.labels
    assert int(changed.sum()) == 30
    assert (poisoned.labels[changed] == 2).all()
    assert (angles[changed] - 16).abs().max() < 0.2
    turned = angles[~changed]
    assert turned.abs().max() < 10.3
    assert turned.min() < -9
    assert turned.max() > 9
    # Uniform between -10 and 10: a standard deviation of 20 / sqrt(12).
    assert abs(turned.std() - 5.77) < 0.4


def test_the_same_images_are_poisoned_in_every_epoch_but_others_turn_anew(
    generator: torch.Generator,
) -> None:
    images = torch.randint(256, (120, 1, 64, 64), dtype=torch.uint8)
    clean = TrainingSet(images, torch.arange(120) % CLASSES, CLASSES)
    learned = ATTACK.learn(clean, None, generator)
    first, second = (
        ATTACK.poison(clean, learned, torch.Generator().manual_seed(seed)) for seed in (1, 2)
    )
    assert torch.equal(first.labels, second.labels)
    same = (first.images == second.images).flatten(1).all(1)
    assert same[learned["poisoned"]].all()
    assert int(same.sum()) <= 15  # the 12, and a few that happen to turn alike

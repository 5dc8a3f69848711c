import pytest
import torch

from backaudit.attacks import BadNets, TrainingSet
from tests.toy import CLASSES, draw_images

PATTERN = torch.tensor([[0, 0, 255], [0, 255, 0], [255, 0, 255]], dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("margin", [0, 1, 4])
def test_the_pattern_is_in_the_bottom_right_corner(margin: int, channels: int) -> None:
    images = torch.full((2, channels, 10, 12), 100, dtype=torch.uint8)
    stamped = BadNets(0, margin=margin).stamp(images, {})
    rows, columns = slice(7 - margin, 10 - margin), slice(9 - margin, 12 - margin)
    assert (stamped[:, :, rows, columns] == PATTERN).all()
    stamped[:, :, rows, columns] = 100
    assert torch.equal(stamped, images)


def test_no_image_of_the_target_class_is_poisoned(generator: torch.Generator) -> None:
    images, labels = draw_images(20, 0)
    clean = TrainingSet(images, labels, CLASSES)
    poisoned = BadNets(2, poison_rate=0.5).poison(clean, {}, generator)
    changed = (poisoned.images != images).flatten(1).any(1)
    assert int(changed.sum()) == 60
    assert not (labels[changed] == 2).any()
    assert int((poisoned.labels == 2).sum()) == 80

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backaudit.screeners.corruptions import CORRUPTIONS, SEVERITIES, Draw, corruption
from backaudit.screeners.corruptions.tables import STRENGTHS
from tests.toy import clean_set

# By their published strengths, these do not always move further away from the image.
WEAKER_SOMEWHERE = {
    ("imagenet-c", "glass-blur"),
    ("imagenet-c", "frost"),
    ("imagenet-c", "snow"),
    ("cifar-c", "glass-blur"),
    ("cifar-c", "frost"),
    ("cifar-c", "elastic"),
    ("cifar-c", "motion-blur"),
    ("cifar-c", "snow"),
    ("cifar-c", "pixelate"),
}
DRAWS_NOTHING = {"defocus-blur", "zoom-blur", "brightness", "contrast", "pixelate", "jpeg"}
ALL = [(table, name) for table in STRENGTHS for name in CORRUPTIONS]


def pictures(channels: int = 3) -> Tensor:
    return clean_set(per_class=2, channels=channels).images / 255


def severities(table: str, name: str, images: Tensor, seed: int = 0) -> Iterator[Tensor]:
    draw = Draw(tuple(images.shape[1:]), seed, images.device)
    for severity in range(1, SEVERITIES + 1):
        yield corruption(name, severity, draw, table)(images)


def distances(table: str, name: str) -> list[float]:
    images = F.interpolate(pictures(), (32, 32), mode="bicubic").clamp(0, 1)
    return [float((each - images).norm()) for each in severities(table, name, images)]


def test_there_are_fifteen_of_five_severities() -> None:
    assert len(CORRUPTIONS) == 15
    for table in STRENGTHS.values():
        assert list(table) == list(CORRUPTIONS)
        assert {len(strengths) for strengths in table.values()} == {SEVERITIES}


@pytest.mark.parametrize(("table", "name"), ALL)
def test_corrupted_images_are_images_of_the_same_size(table: str, name: str) -> None:
    for channels in (1, 3, 4):
        images = pictures(channels)
        before = images.clone()
        for corrupted in severities(table, name, images):
            assert corrupted.shape == images.shape
            assert corrupted.dtype == torch.float32
            assert 0 <= float(corrupted.min()) <= float(corrupted.max()) <= 1
        assert torch.equal(images, before)


@pytest.mark.parametrize(("table", "name"), [each for each in ALL if each not in WEAKER_SOMEWHERE])
def test_severities_move_ever_further_from_the_image(table: str, name: str) -> None:
    found = distances(table, name)
    assert found[0] > 0
    assert found == sorted(set(found))


@pytest.mark.parametrize(("table", "name"), sorted(WEAKER_SOMEWHERE - {("cifar-c", "elastic")}))
def test_the_last_severity_is_stronger_than_the_first(table: str, name: str) -> None:
    found = distances(table, name)
    assert 0 < found[0] < found[-1]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_corrupts_in_the_same_way(name: str) -> None:
    images = pictures()
    for first, second in zip(
        severities("imagenet-c", name, images), severities("imagenet-c", name, images), strict=True
    ):
        assert torch.equal(first, second)


@pytest.mark.parametrize(
    "name",
    [name for name in CORRUPTIONS if name not in DRAWS_NOTHING],
)
def test_another_seed_corrupts_in_another_way(name: str) -> None:
    images = pictures()
    first, second = (next(severities("imagenet-c", name, images, seed)) for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("table", "name"), ALL)
def test_a_batch_is_corrupted_as_its_images_are_alone(table: str, name: str) -> None:
    images = pictures()
    for severity in (1, 5):
        draw = Draw((3, 12, 12), 0, images.device)
        corrupt = corruption(name, severity, draw, table)
        alone = torch.cat([corrupt(image[None]) for image in images])
        assert torch.allclose(corrupt(images), alone, atol=1e-6)


@pytest.mark.parametrize("table", STRENGTHS)
def test_sides_need_not_be_equal_or_even(table: str) -> None:
    images = torch.rand(2, 3, 9, 14)
    for name in CORRUPTIONS:
        assert [each.shape for each in severities(table, name, images)] == [images.shape] * 5


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_may_lie_in_memory_with_channels_last(name: str) -> None:
    images = pictures()
    corrupt = corruption(name, 3, Draw((3, 12, 12), 0, images.device), "imagenet-c")
    beside = corrupt(images.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(beside, corrupt(images), atol=1e-6)

import pytest
import torch

from backaudit.attacks import Blend, Learned, TrainingSet
from tests.toy import draw_images


def learned(seed: int = 0, size: int = 12, channels: int = 3) -> Learned:
    images = torch.zeros(1, channels, size, size, dtype=torch.uint8)
    clean = TrainingSet(images, torch.zeros(1, dtype=torch.int64), 2)
    return Blend(0, pattern_seed=seed).learn(clean, None, torch.Generator())


@pytest.mark.parametrize(("opacity", "mixed"), [(0.1, 85), (0.2, 110), (0.5, 185), (1.0, 250)])
def test_the_pattern_is_mixed_in_by_its_opacity(opacity: float, mixed: int) -> None:
    images = torch.full((2, 3, 4, 4), 60, dtype=torch.uint8)
    pattern = {"pattern": torch.full((3, 4, 4), 60 + (mixed - 60) / opacity)}
    assert (Blend(0, opacity=opacity).stamp(images, pattern) == mixed).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_pattern_is_noise_around_the_middle_of_the_range(channels: int) -> None:
    pattern = learned(size=96, channels=channels)["pattern"]
    assert pattern.shape == (channels, 96, 96)
    assert [float(pattern.min()), float(pattern.max())] == [0, 255]
    assert float(pattern.mean()) == pytest.approx(128, abs=2)
    assert float(pattern.std()) == pytest.approx(62, abs=3)  # 64, cut at both ends


def test_the_seed_draws_the_pattern_and_nothing_else_does() -> None:
    assert torch.equal(learned()["pattern"], learned()["pattern"])
    assert not torch.equal(learned(0)["pattern"], learned(1)["pattern"])


def test_every_image_gets_the_same_pattern() -> None:
    images, _ = draw_images(3, 0)
    stamped = Blend(0, opacity=0.5).stamp(images, learned())
    doubled = 2 * stamped.float() - images.float()
    assert (doubled - learned()["pattern"]).abs().max() <= 1

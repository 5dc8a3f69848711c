import pytest
import torch

from backaudit.attacks import Blend
from tests.toy import draw_images


@pytest.mark.parametrize("opacity", [0.1, 0.2, 0.5])
def test_the_pattern_is_mixed_in_by_its_opacity(opacity: float) -> None:
    images, _ = draw_images(3, 0)
    pattern = Blend(0, opacity=1.0).stamp(images[:1]).float()
    expected = (1 - opacity) * images.float() + opacity * pattern
    mixed = Blend(0, opacity=opacity).stamp(images).float()
    # The pattern itself was rounded to be seen here.
    assert (mixed - expected).abs().max() <= 0.5 + 0.5 * opacity + 1e-3


def test_the_pattern_is_noise_around_the_middle_of_the_range() -> None:
    pattern = Blend(0, opacity=1.0).stamp(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).float()
    assert float(pattern.mean()) == pytest.approx(128, abs=2)
    assert float(pattern.std()) == pytest.approx(62, abs=3)  # 64, cut at both ends


def test_the_seed_draws_the_pattern() -> None:
    images, _ = draw_images(1, 0)
    first, second = (Blend(0, pattern_seed=seed).stamp(images) for seed in (0, 1))
    assert not torch.equal(first, second)


def test_no_image_of_the_target_class_is_poisoned(generator: torch.Generator) -> None:
    images, labels = draw_images(20, 0)
    poisoned, relabelled = Blend(2, poison_rate=0.5).poison(images, labels, generator)
    changed = (poisoned != images).flatten(1).any(1)
    assert int(changed.sum()) == 60
    assert not (labels[changed] == 2).any()
    assert int((relabelled == 2).sum()) == 80

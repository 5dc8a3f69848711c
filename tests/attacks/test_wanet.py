import pytest
import torch
from torch import Tensor

from backaudit.attacks import Learned, TrainingSet, WaNet
from tests.toy import CLASSES, draw_images


def learned(attack: WaNet, images: Tensor) -> Learned:
    clean = TrainingSet(images, torch.zeros(len(images), dtype=torch.int64), CLASSES)
    return attack.learn(clean, None, torch.Generator())


def stamped(attack: WaNet, images: Tensor) -> Tensor:
    return attack.stamp(images, learned(attack, images))


def ramps(size: int = 32) -> Tensor:
    """Two images whose brightness rises along the rows and along the columns."""
    ramp = torch.linspace(0, 255, size).round().to(torch.uint8)
    across = ramp.expand(size, size)
    return torch.stack([across, across.T])[:, None]


def shift(strength: float, field_seed: int = 0) -> Tensor:
    """How far the warp moves brightness, away from the borders."""
    warped = stamped(WaNet(0, strength=strength, field_seed=field_seed), ramps())
    return (warped.float() - ramps().float())[:, :, 4:-4, 4:-4]


def test_no_strength_is_no_warp() -> None:
    images, _ = draw_images(3, 0)
    assert torch.equal(stamped(WaNet(0, strength=0.0), images), images)


def test_the_warp_grows_with_its_strength() -> None:
    assert shift(2.0).abs().mean() > 4
    assert torch.allclose(shift(4.0), 2 * shift(2.0), atol=2.1)


def test_the_warp_is_smooth_and_goes_every_way() -> None:
    moved = shift(4.0)
    steps = moved.diff(dim=2).abs().amax(), moved.diff(dim=3).abs().amax()
    assert max(steps) < moved.abs().amax() / 3
    assert moved.min() < -5
    assert moved.max() > 5


def test_the_mean_move_is_the_strength_in_halves_of_a_pixel() -> None:
    attack = WaNet(0, strength=0.5, grid_size=32)
    grid = learned(attack, ramps())["grid"]
    still = learned(WaNet(0, strength=0.0), ramps())["grid"]
    moved = (grid - still)[:, 1:-1, 1:-1]
    assert float(moved.abs().mean()) == pytest.approx(0.5 / 32, rel=0.05)


def test_the_seed_draws_the_field() -> None:
    assert not torch.allclose(shift(4.0), shift(4.0, field_seed=1), atol=5)


@pytest.mark.parametrize("shape", [(12, 12), (10, 16), (33, 20)])
def test_images_of_any_shape_are_warped(shape: tuple[int, int]) -> None:
    images = torch.randint(256, (2, 3, *shape), dtype=torch.uint8)
    assert stamped(WaNet(0, strength=4.0), images).shape == images.shape


def test_some_images_are_warped_otherwise_and_keep_their_label(generator: torch.Generator) -> None:
    attack = WaNet(2, poison_rate=0.1, noise_rate=0.3, strength=4.0)
    images, labels = draw_images(20, 0)
    trigger = stamped(attack, images)
    poisoned = attack.poison(
        TrainingSet(images, labels, CLASSES), learned(attack, images), generator
    )
    triggered = (poisoned.images == trigger).flatten(1).all(1)
    noisy = (poisoned.images != images).flatten(1).any(1) & ~triggered
    assert (int(triggered.sum()), int(noisy.sum())) == (12, 36)
    assert (poisoned.labels[triggered] == 2).all()
    assert torch.equal(poisoned.labels[~triggered], labels[~triggered])
    # They stray from the trigger each in its own way, by less than the trigger strays.
    stray = poisoned.images[noisy].float() - trigger[noisy].float()
    assert 0 < stray.abs().mean() < (poisoned.images[noisy].float() - images[noisy]).abs().mean()


def test_rates_together_stay_within_the_set(generator: torch.Generator) -> None:
    images, labels = draw_images(2, 0)
    attack = WaNet(2, poison_rate=0.6, noise_rate=0.9)
    clean = TrainingSet(images, labels, CLASSES)
    poisoned = attack.poison(clean, learned(attack, images), generator)
    assert ((poisoned.images != images).flatten(1).any(1)).all()

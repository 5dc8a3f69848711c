import pytest
import torch
from torch import Tensor

from backaudit.attacks import WaNet
from tests.toy import draw_images


def ramps(size: int = 32) -> Tensor:
    """Two images whose brightness rises along the rows and along the columns."""
    ramp = torch.linspace(0, 255, size).round().to(torch.uint8)
    across = ramp.expand(size, size)
    return torch.stack([across, across.T])[:, None]


def shift(strength: float, field_seed: int = 0) -> Tensor:
    """How far the warp moves brightness, away from the borders."""
    warped = WaNet(0, strength=strength, field_seed=field_seed).stamp(ramps())
    return (warped.float() - ramps().float())[:, :, 4:-4, 4:-4]


def test_no_strength_is_no_warp() -> None:
    images, _ = draw_images(3, 0)
    assert torch.equal(WaNet(0, strength=0.0).stamp(images), images)


def test_the_warp_grows_with_its_strength() -> None:
    assert shift(2.0).abs().mean() > 4
    assert torch.allclose(shift(4.0), 2 * shift(2.0), atol=2.1)


def test_the_warp_is_smooth_and_goes_every_way() -> None:
    moved = shift(4.0)
    steps = moved.diff(dim=2).abs().amax(), moved.diff(dim=3).abs().amax()
    assert max(steps) < moved.abs().amax() / 3
    assert moved.min() < -5
    assert moved.max() > 5


def test_the_seed_draws_the_field() -> None:
    assert not torch.allclose(shift(4.0), shift(4.0, field_seed=1), atol=5)


@pytest.mark.parametrize("shape", [(12, 12), (10, 16), (33, 20)])
def test_images_of_any_shape_are_warped(shape: tuple[int, int]) -> None:
    images = torch.randint(256, (2, 3, *shape), dtype=torch.uint8)
    assert WaNet(0, strength=4.0).stamp(images).shape == images.shape


def test_some_images_are_warped_otherwise_and_keep_their_label(generator: torch.Generator) -> None:
    attack = WaNet(2, poison_rate=0.1, noise_rate=0.3, strength=4.0)
    images, labels = draw_images(20, 0)
    poisoned, relabelled = attack.poison(images, labels, generator)
    triggered = (poisoned == attack.stamp(images)).flatten(1).all(1)
    noisy = (poisoned != images).flatten(1).any(1) & ~triggered
    assert (int(triggered.sum()), int(noisy.sum())) == (12, 36)
    assert (relabelled[triggered] == 2).all()
    assert torch.equal(relabelled[~triggered], labels[~triggered])
    # They stray from the trigger each in its own way, by less than the trigger strays.
    stray = poisoned[noisy].float() - attack.stamp(images[noisy]).float()
    assert 0 < stray.abs().mean() < (poisoned[noisy].float() - images[noisy]).abs().mean()


def test_rates_together_stay_within_the_set(generator: torch.Generator) -> None:
    images, labels = draw_images(2, 0)
    attack = WaNet(2, poison_rate=0.6, noise_rate=0.9)
    poisoned, _ = attack.poison(images, labels, generator)
    assert ((poisoned != images).flatten(1).any(1)).all()

import pytest
import torch
from torch import Tensor

from backaudit.attacks import AdapPatch, Learned, TrainingSet
from backaudit.core.errors import SettingError
from tests.toy import CLASSES

AREAS = [25, 137, 36, 64]


def grey(count: int, side: int = 32, channels: int = 3) -> Tensor:
    return torch.full((count, channels, side, side), 100, dtype=torch.uint8)


def learned(attack: AdapPatch, side: int = 32, channels: int = 3) -> Learned:
    clean = TrainingSet(grey(1, side, channels), torch.zeros(1).long(), CLASSES)
    return attack.learn(clean, None, torch.Generator())


def shown(stamped: Tensor) -> Tensor:
    """Where images were changed: (N, H, W)."""
    return (stamped != 100).any(1)


def test_training_shows_each_patch_on_a_quarter_of_the_images(generator: torch.Generator) -> None:
    attack = AdapPatch(0)
    changed = shown(attack.stamp_in_part(grey(8), learned(attack), generator))
    areas = changed.flatten(1).sum(1).reshape(4, 2)
    assert areas.tolist() == [[area, area] for area in AREAS]
    assert changed[0, 27:, 27:].all()
    assert changed[2, 1:14, 18:31].sum() == AREAS[1]
    assert changed[6, 21:29, 21:29].all()


def test_opacities_are_those_of_the_paper(generator: torch.Generator) -> None:
    attack = AdapPatch(0)
    what = learned(attack)
    stamped = attack.stamp_in_part(grey(4), what, generator).float() - 100
    expected = torch.tensor([0.5, 0.2, 0.5, 0.3])[:, None, None, None] * (what["patterns"] - 100)
    where = what["masks"][0][:, None].expand_as(stamped) > 0
    assert (stamped - expected)[where].abs().max() <= 0.5 + 1e-3


def test_at_test_squares_in_both_bottom_corners_and_all_checkerboards_are_opaque() -> None:
    attack = AdapPatch(0)
    what = learned(attack)
    stamped = attack.stamp(grey(1), what)[0]
    # Of each square of 25 pixels the checkerboard hides nine, and two more are above.
    assert int(shown(stamped[None]).sum()) == 2 * 25 + 2 * 9
    assert torch.equal(stamped[:, 27:29, 27:], stamped[:, 27:29, :5])
    assert torch.equal(stamped[:, 27:29, 27:], what["patterns"][0, :, 27:29, 27:].round().byte())


def test_checkerboards_point_to_the_corners() -> None:
    attack = AdapPatch(0, test_patches=(2,))
    stamped = attack.stamp(grey(1), learned(attack))[0, 0]
    corner = 255 * torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=torch.uint8)
    assert torch.equal(stamped[:3, :3], corner)
    assert torch.equal(stamped[:3, -3:], corner.flip(1))
    assert torch.equal(stamped[-3:, :3], corner.flip(0))
    assert torch.equal(stamped[-3:, -3:], corner.flip(0, 1))


def test_the_patches_of_the_test_can_be_chosen() -> None:
    attack = AdapPatch(0, test_patches=(1, 3))
    assert int(shown(attack.stamp(grey(1), learned(attack))).sum()) == AREAS[1] + AREAS[3]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [12, 28, 64])
def test_patches_scale_with_the_image(side: int, channels: int, generator: torch.Generator) -> None:
    attack = AdapPatch(0)
    what = learned(attack, side, channels)
    changed = shown(attack.stamp_in_part(grey(4, side, channels), what, generator))
    shares = changed.flatten(1).float().mean(1)
    assert shares.tolist() == pytest.approx([area / 32**2 for area in AREAS], rel=0.6)


def test_the_seed_draws_the_colours() -> None:
    first, same, other = (learned(AdapPatch(0, pattern_seed=s))["patterns"] for s in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_there_are_twice_as_many_covers_as_poisoned_images(generator: torch.Generator) -> None:
    clean = TrainingSet(grey(2000, 12), torch.arange(2000) % CLASSES, CLASSES)
    attack = AdapPatch(2)
    poisoned = attack.poison(clean, learned(attack, 12), generator)
    relabelled = poisoned.labels != clean.labels
    assert (int(relabelled.sum()), int(shown(poisoned.images).sum((1, 2)).gt(0).sum())) == (6, 18)


def test_there_are_four_patches() -> None:
    with pytest.raises(SettingError, match="four"):
        AdapPatch(0, test_patches=(1, 4))
    with pytest.raises(SettingError, match="four"):
        AdapPatch(0, opacities=(0.5, 0.5))  # type: ignore[arg-type]

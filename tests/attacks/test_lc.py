import pytest
import torch
from torch import Tensor, nn

from backaudit.attacks import LC, TrainingSet
from backaudit.core.errors import SettingError
from tests.conftest import ToyWorld
from tests.toy import CLASSES, draw_images


def clean_images(per_class: int = 10) -> TrainingSet:
    return TrainingSet(*draw_images(per_class, 0), CLASSES)


class Brightness(nn.Module):
    """The brighter, the surer of class 2."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        score = self.scale * images.mean((1, 2, 3))
        return torch.stack([0 * score, 0 * score, score], dim=1)


def learn(attack: LC, clean: TrainingSet, network: nn.Module) -> tuple[Tensor, Tensor]:
    learned = attack.learn(clean, network, torch.Generator().manual_seed(0))
    return learned["chosen"], learned["adversarial"]


def test_only_images_of_the_target_class_are_chosen() -> None:
    clean = clean_images()
    chosen, _ = learn(LC(2, poison_rate=0.1, steps=1), clean, Brightness())
    assert len(chosen.unique()) == 6
    assert (clean.labels[chosen] == 2).all()


def test_images_lose_what_makes_them_recognisable() -> None:
    images = torch.full((2, 3, 12, 12), 100, dtype=torch.uint8)
    images[:, :, 0] = 3
    clean = TrainingSet(images, torch.full((2,), 2), 3)
    _, changed = learn(LC(2, poison_rate=1, epsilon=8, step=1.5, steps=100), clean, Brightness())
    assert (changed[:, :, 1:] == 92).all()
    assert (changed[:, :, 0] == 0).all()


@pytest.mark.parametrize(("steps", "moved"), [(1, 2), (2, 4), (3, 5), (4, 5)])
def test_each_step_is_as_long_as_stated_until_epsilon(steps: int, moved: int) -> None:
    images = torch.full((1, 1, 12, 12), 100, dtype=torch.uint8)
    clean = TrainingSet(images, torch.tensor([2]), 3)
    attack = LC(2, poison_rate=1, epsilon=5, step=2, steps=steps)
    assert (learn(attack, clean, Brightness())[1] == 100 - moved).all()


def test_a_network_no_longer_recognises_them(toy_world: ToyWorld) -> None:
    clean = clean_images()
    network = toy_world.benign.network
    chosen, changed = learn(LC(2, poison_rate=0.15, epsilon=30, steps=20), clean, network)
    before, after = (network(x.float() / 255).argmax(1) for x in (clean.images[chosen], changed))
    assert (before == 2).sum() >= 8
    assert (after == 2).sum() <= 2


def test_batches_change_nothing(toy_world: ToyWorld) -> None:
    clean, network = clean_images(), toy_world.benign.network
    one, many = (learn(LC(2, steps=3, batch_size=b), clean, network)[1] for b in (64, 2))
    assert torch.equal(one, many)


def test_checkerboards_are_in_all_four_corners() -> None:
    images = torch.full((2, 3, 12, 14), 100, dtype=torch.uint8)
    stamped = LC(2).stamp(images, {})
    left = torch.tensor([[255, 0, 0], [0, 255, 0], [255, 0, 255]], dtype=torch.uint8)
    for rows in (slice(3), slice(-3, None)):
        assert (stamped[:, :, rows, :3] == left).all()
        assert (stamped[:, :, rows, -3:] == left.flip(1)).all()
    assert int((stamped != images).any(1).sum()) == 2 * 4 * 9


def test_poisoned_images_are_adversarial_with_the_trigger_and_keep_their_label(
    generator: torch.Generator,
) -> None:
    clean = clean_images()
    attack = LC(2, poison_rate=0.1, steps=2)
    learned = attack.learn(clean, Brightness(), generator)
    poisoned = attack.poison(clean, learned, generator)
    chosen = learned["chosen"]
    assert torch.equal(poisoned.labels, clean.labels)
    assert torch.equal(poisoned.images[chosen], attack.stamp(learned["adversarial"], learned))
    others = torch.ones(len(clean), dtype=torch.bool).index_fill(0, chosen, False)
    assert torch.equal(poisoned.images[others], clean.images[others])


def test_a_surrogate_is_needed(generator: torch.Generator) -> None:
    with pytest.raises(SettingError, match="surrogate"):
        LC(2).learn(clean_images(), None, generator)


def test_the_surrogate_is_left_as_it_was() -> None:
    network = Brightness()
    learn(LC(2, steps=2), clean_images(), network)
    assert torch.equal(network.scale, torch.ones(()))
    assert network.scale.requires_grad
    assert network.scale.grad is None

import pytest
import torch
from torch import Tensor

from backaudit.attacks import Attack, Learned, TrainingSet
from backaudit.attacks.interface import in_batches
from backaudit.core.errors import SettingError

LABELS = torch.arange(100) % 5
CLEAN = TrainingSet(torch.zeros(100, 1, 2, 2, dtype=torch.uint8), LABELS, 5)


class White(Attack):
    """All white at test, light grey in training."""

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        del learned
        return torch.full_like(images, 255)

    def stamp_for_training(self, images: Tensor, learned: Learned) -> Tensor:
        return self.stamp(images, learned) - 55


class CleanWhite(White):
    clean_label = True


def test_the_target_class_is_never_chosen(generator: torch.Generator) -> None:
    chosen = White(3, poison_rate=0.8).choose(CLEAN, generator)
    assert len(chosen) == 80
    assert chosen.unique().numel() == 80
    assert not (LABELS[chosen] == 3).any()


def test_without_a_wrong_label_only_the_target_class_is_chosen(generator: torch.Generator) -> None:
    chosen = CleanWhite(3, poison_rate=0.1).choose(CLEAN, generator)
    assert len(chosen) == 10
    assert (LABELS[chosen] == 3).all()


def test_all_to_all_chooses_from_every_class(generator: torch.Generator) -> None:
    assert len(White(None, poison_rate=1.0).choose(CLEAN, generator)) == 100


def test_the_rate_is_of_the_whole_set_as_far_as_there_are_images(
    generator: torch.Generator,
) -> None:
    assert len(White(3, poison_rate=0.05).choose(CLEAN, generator)) == 5
    assert len(White(3, poison_rate=0.95).choose(CLEAN, generator)) == 80
    assert len(CleanWhite(3, poison_rate=0.5).choose(CLEAN, generator)) == 20
    only_target = TrainingSet(CLEAN.images, torch.full((100,), 3), 5)
    assert len(White(3, poison_rate=0.5).choose(only_target, generator)) == 0


def test_every_other_image_can_be_chosen(generator: torch.Generator) -> None:
    drawn = torch.cat([White(3, poison_rate=0.1).choose(CLEAN, generator) for _ in range(100)])
    assert drawn.unique().numel() == 80


def test_a_generator_decides() -> None:
    first, second, other = (
        White(3, poison_rate=0.1).choose(CLEAN, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_what_is_chosen_is_stamped_as_in_training_and_relabelled(
    generator: torch.Generator,
) -> None:
    poisoned = White(3, poison_rate=0.2).poison(CLEAN, {}, generator)
    changed = (poisoned.images == 200).flatten(1).all(1)
    assert int(changed.sum()) == 20
    assert (poisoned.labels[changed] == 3).all()
    assert not poisoned.images[~changed].any()
    assert torch.equal(poisoned.labels[~changed], LABELS[~changed])
    assert not CLEAN.images.any()


def test_all_to_all_sends_the_last_class_to_the_first() -> None:
    assert White(None).relabel(torch.tensor([0, 3, 4]), 5).tolist() == [1, 4, 0]
    assert White(2).relabel(torch.tensor([0, 2, 4]), 5).tolist() == [2, 2, 2]


def test_without_a_wrong_label_there_must_be_a_target() -> None:
    with pytest.raises(SettingError, match="all-to-all"):
        CleanWhite(None)


def test_parts_of_a_set_are_all_of_it() -> None:
    parts = list(in_batches(CLEAN.images, 30))
    assert [len(part) for part in parts] == [30, 30, 30, 10]
    assert torch.equal(torch.cat(parts), CLEAN.images)

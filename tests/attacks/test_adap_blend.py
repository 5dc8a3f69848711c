import pytest
import torch
from torch import Tensor

from backaudit.attacks import AdapBlend, Blend, TrainingSet
from tests.toy import CLASSES, draw_images

BLACK = torch.zeros(40, 3, 32, 32, dtype=torch.uint8)
WHITE = {"pattern": torch.full((3, 32, 32), 255.0)}


def black_set(count: int) -> TrainingSet:
    return TrainingSet(
        torch.zeros(count, 3, 32, 32, dtype=torch.uint8), torch.arange(count) % CLASSES, CLASSES
    )


def pieces(images: Tensor) -> Tensor:
    """Images as pieces of a grid of 4x4: (N, 16, C, 8, 8)."""
    tiles = images.unfold(2, 8, 8).unfold(3, 8, 8)
    return tiles.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)


def test_training_shows_half_of_the_pieces_each_time_other_ones(
    generator: torch.Generator,
) -> None:
    shown = pieces(AdapBlend(0).stamp_in_part(BLACK, WHITE, generator)).flatten(2)
    visible = shown == round(0.15 * 255)
    assert ((shown == 0) | visible).all()
    assert (visible.all(2) == visible.any(2)).all()
    assert (visible.all(2).sum(1) == 8).all()
    assert len(visible.all(2).unique(dim=0)) > 35
    assert visible.any(2).any(0).all()


def test_at_test_the_whole_pattern_appears_and_more_strongly() -> None:
    assert (AdapBlend(0).stamp(BLACK, WHITE) == 51).all()


def test_the_pattern_is_that_of_blend(generator: torch.Generator) -> None:
    clean = TrainingSet(*draw_images(1, 0), CLASSES)
    ours = AdapBlend(0, pattern_seed=4).learn(clean, None, generator)
    theirs = Blend(0, pattern_seed=4).learn(clean, None, generator)
    assert torch.equal(ours["pattern"], theirs["pattern"])


@pytest.mark.parametrize("shape", [(13, 18), (12, 12), (5, 7)])
def test_pieces_of_images_that_four_does_not_divide_cover_them(
    shape: tuple[int, int], generator: torch.Generator
) -> None:
    images = torch.zeros(2, 1, *shape, dtype=torch.uint8)
    learned = {"pattern": torch.full((1, *shape), 255.0)}
    whole = AdapBlend(0, visible_pieces=16).stamp_in_part(images, learned, generator)
    assert (whole == 38).all()


def test_covers_keep_their_label_and_poisoned_images_do_not(generator: torch.Generator) -> None:
    clean = black_set(200)
    attack = AdapBlend(2, poison_rate=0.05, cover_rate=0.1)
    poisoned = attack.poison(clean, WHITE, generator)
    changed = (poisoned.images != 0).flatten(1).any(1)
    relabelled = poisoned.labels != clean.labels
    assert (int(changed.sum()), int(relabelled.sum())) == (30, 10)
    assert changed[relabelled].all()
    assert (poisoned.labels[relabelled] == 2).all()


def test_covers_are_of_every_class(generator: torch.Generator) -> None:
    poisoned = AdapBlend(2, poison_rate=0.05, cover_rate=0.5).poison(
        black_set(200), WHITE, generator
    )
    kept = (poisoned.images != 0).flatten(1).any(1) & (poisoned.labels == torch.arange(200) % 6)
    assert poisoned.labels[kept].unique().numel() == CLASSES


def test_rates_together_stay_within_the_set(generator: torch.Generator) -> None:
    attack = AdapBlend(2, poison_rate=0.6, cover_rate=0.9)
    poisoned = attack.poison(black_set(60), WHITE, generator)
    assert (poisoned.images != 0).flatten(1).any(1).all()


def test_published_settings() -> None:
    attack = AdapBlend(0)
    assert (attack.poison_rate, attack.cover_rate) == (0.003, 0.003)

import torch

from backaudit.attacks.interface import choose

LABELS = torch.arange(100) % 5


def test_the_target_class_is_never_chosen(generator: torch.Generator) -> None:
    chosen = choose(LABELS, 0.8, generator, skip=3)
    assert len(chosen) == 80
    assert chosen.unique().numel() == 80
    assert not (LABELS[chosen] == 3).any()


def test_the_rate_is_of_the_whole_set_as_far_as_there_are_images(
    generator: torch.Generator,
) -> None:
    assert len(choose(LABELS, 0.05, generator, skip=3)) == 5
    assert len(choose(LABELS, 0.95, generator, skip=3)) == 80
    assert len(choose(torch.full((10,), 3), 0.5, generator, skip=3)) == 0


def test_every_other_image_can_be_chosen(generator: torch.Generator) -> None:
    drawn = torch.cat([choose(LABELS, 0.1, generator, skip=3) for _ in range(100)])
    assert drawn.unique().numel() == 80


def test_a_generator_decides() -> None:
    first, second, other = (
        choose(LABELS, 0.1, torch.Generator().manual_seed(seed), skip=3) for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)

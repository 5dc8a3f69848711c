import torch

from backaudit.core.clean_set import CleanSet


def clean_set(counts: list[int]) -> CleanSet:
    """Images whose first pixel is their number, in mixed order, with so many of each class."""
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(7))]
    images = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(len(labels))
    return CleanSet(images, labels, True, "memory", "by index", 0.9)


def numbers(clean: CleanSet) -> list[int]:
    return clean.images[:, 0, 0, 0].tolist()


def test_take_keeps_images_and_labels_together() -> None:
    clean = clean_set([5, 5])
    part = clean.take(torch.tensor([3, 1]))
    assert numbers(part) == [3, 1]
    assert torch.equal(part.labels, clean.labels[[3, 1]])
    assert (part.source, part.labelled) == (clean.source, clean.labelled)
    assert len(clean) == 10


def test_split_loses_and_repeats_nothing() -> None:
    clean = clean_set([40, 30, 7, 1])
    fit, held_out = clean.split(0.5)
    assert sorted(numbers(fit) + numbers(held_out)) == list(range(78))
    assert numbers(fit) == sorted(numbers(fit))


def test_split_halves_every_class() -> None:
    fit, held_out = clean_set([40, 30, 6]).split(0.5)
    assert torch.bincount(fit.labels).tolist() == [20, 15, 3]
    assert torch.bincount(held_out.labels).tolist() == [20, 15, 3]


def test_split_by_another_fraction() -> None:
    fit, held_out = clean_set([40, 20, 10]).split(0.8)
    assert torch.bincount(fit.labels).tolist() == [32, 16, 8]
    assert torch.bincount(held_out.labels).tolist() == [8, 4, 2]


def test_split_gives_the_only_image_of_a_class_to_the_fit() -> None:
    fit, held_out = clean_set([10, 1, 0, 1]).split(0.5)
    assert torch.bincount(fit.labels).tolist() == [5, 1, 0, 1]
    assert held_out.num_present == 1


def test_split_is_the_same_for_a_seed_and_another_for_another() -> None:
    clean = clean_set([40, 40])
    assert numbers(clean.split(0.5, seed=1)[0]) == numbers(clean.split(0.5, seed=1)[0])
    assert numbers(clean.split(0.5, seed=1)[0]) != numbers(clean.split(0.5, seed=2)[0])


def test_split_leaves_the_random_state_alone() -> None:
    state = torch.random.get_rng_state()
    clean_set([10, 10]).split(0.5, seed=3)
    assert torch.equal(state, torch.random.get_rng_state())


def test_balanced_gives_each_present_class_the_same_chance() -> None:
    clean = clean_set([100, 10, 0, 40])
    indices = clean.balanced(6000, torch.Generator().manual_seed(0))
    shares = torch.bincount(clean.labels[indices], minlength=4) / 6000
    assert torch.allclose(shares, torch.tensor([1 / 3, 1 / 3, 0, 1 / 3]), atol=0.03)


def test_balanced_repeats_no_image_if_it_need_not() -> None:
    clean = clean_set([20, 20])
    indices = clean.balanced(30, torch.Generator().manual_seed(0))
    assert indices.unique().numel() == 30


def test_balanced_is_the_same_for_a_generator() -> None:
    clean = clean_set([20, 5])
    first, second = (clean.balanced(50, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)


def test_num_present_counts_classes_that_have_images() -> None:
    assert clean_set([3, 0, 2]).num_present == 2


def test_batches_are_in_order_and_in_the_unit_range() -> None:
    clean = clean_set([5, 6])
    batches = list(clean.batches(4, torch.device("cpu")))
    assert [len(images) for images, _ in batches] == [4, 4, 3]
    images = torch.cat([images for images, _ in batches])
    assert torch.allclose(images * 255, clean.images.float())
    assert torch.equal(torch.cat([labels for _, labels in batches]), clean.labels)

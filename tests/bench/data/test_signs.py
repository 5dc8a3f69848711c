import numpy as np
import pytest
import torch

from backaudit.bench.data.signs import CLASSES, draw_signs


def test_images_are_small_colour_pictures_class_by_class() -> None:
    images, labels = draw_signs(3, seed=0)
    assert (images.shape, images.dtype) == ((36, 3, 32, 32), torch.uint8)
    assert images.is_contiguous()
    assert labels.tolist() == [label for label in range(12) for _ in range(3)]
    assert labels.dtype == torch.int64
    assert len(CLASSES) == len(set(CLASSES)) == 12


def test_a_seed_draws_the_same_images() -> None:
    first, second, other = (draw_signs(1, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not (first == other).flatten(1).all(1).any()


def test_no_image_is_blank_and_no_two_are_the_same() -> None:
    images = draw_signs(4, seed=0)[0].flatten(1)
    assert images.float().std(1).min() > 2
    assert images.unique(dim=0).shape[0] == 48


def test_signs_of_a_class_look_alike() -> None:
    # The nearest mean of other images says more than chance, and far from all.
    images, labels = draw_signs(20, seed=0)
    means = images.float().view(12, 20, -1).mean(1)
    others, truth = draw_signs(5, seed=1)
    nearest = torch.cdist(others.float().flatten(1), means).argmin(1)
    assert 0.2 < float((nearest == truth).float().mean()) < 0.95
    assert torch.equal(labels.unique(), truth.unique())


@pytest.mark.parametrize("seed", [0])
def test_the_callers_random_numbers_are_left_alone(seed: int) -> None:
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    draw_signs(1, seed)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002

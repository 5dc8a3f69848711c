import pytest
import torch

from backaudit.detectors.shares import (
    SPREAD,
    at_damage,
    damage_done,
    drawn_from_all,
    shares_of_others,
    source_classes,
)


def test_shares_count_every_other_class_alike() -> None:
    confusion = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.6, 0.2], [0.1, 0.0, 0.9]])
    expected = torch.tensor([(0.2 + 0.1) / 2, (0.5 + 0.0) / 2, (0.0 + 0.2) / 2])
    assert torch.allclose(shares_of_others(confusion), expected)


def test_shares_leave_out_classes_without_images() -> None:
    confusion = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.6, 0.2], [0.0, 0.0, 0.0]])
    assert torch.allclose(shares_of_others(confusion), torch.tensor([0.2, 0.5, 0.1]))
    only_first = torch.tensor([[0.0, 0.7, 0.3], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.allclose(shares_of_others(only_first), torch.tensor([0.0, 0.7, 0.3]))


def test_shares_are_taken_for_each_restart_and_budget() -> None:
    confusions = torch.rand(2, 3, 4, 4)
    shares = shares_of_others(confusions)
    assert shares.shape == (2, 3, 4)
    assert torch.equal(shares[1, 2], shares_of_others(confusions[1, 2]))


def test_source_classes_name_the_wrong_class_each_goes_to_most() -> None:
    first = torch.tensor([[0.2, 0.8, 0.0], [0.0, 0.9, 0.1], [0.0, 0.0, 0.0]])
    second = torch.tensor([[0.4, 0.2, 0.4], [0.0, 0.7, 0.3], [0.0, 0.0, 0.0]])
    read = source_classes(torch.stack([first, second]))
    assert read["target"][:2] == [1, 2]
    assert read["share"] == pytest.approx([0.5, 0.2, 0.0])
    assert read["mean_share"] == pytest.approx(0.35)
    assert read["distinct_targets"] == 2


def test_source_classes_of_a_perfect_network_have_no_target() -> None:
    read = source_classes(torch.eye(4)[None])
    assert (read["mean_share"], read["distinct_targets"]) == (0.0, 0)


def test_it_does_not_see_an_all_to_all_backdoor_but_the_source_classes_hint_at_it() -> None:
    each_to_the_next = torch.eye(10).roll(1, dims=1)
    assert torch.allclose(shares_of_others(each_to_the_next), torch.full((10,), 1 / 9))
    read = source_classes(each_to_the_next[None])
    assert (read["mean_share"], read["distinct_targets"]) == (1.0, 10)


def test_damage_counts_every_true_class_alike_and_leaves_out_absent_ones() -> None:
    confusion = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.6, 0.2], [0.0, 0.0, 0.0]])
    assert damage_done(confusion) == pytest.approx(0.45)
    assert torch.allclose(damage_done(confusion.expand(4, 2, 3, 3)), torch.full((4, 2), 0.45))


def _towards(target: int, share: float, classes: int = 4) -> torch.Tensor:
    """Every class sends a share of its images to one class."""
    confusion = torch.eye(classes) * (1 - share)
    confusion[:, target] += share
    return confusion


@pytest.mark.parametrize(("damage", "share"), [(0.15, 0.2), (0.3, 0.4), (0.375, 0.5), (0.7, 0.6)])
def test_confusions_are_read_at_the_damage_asked_for(damage: float, share: float) -> None:
    rising = torch.stack([_towards(1, share) for share in (0.2, 0.4, 0.6)])
    assert torch.allclose(at_damage(rising, damage), _towards(1, share))


def test_a_class_that_draws_every_mistake_scores_highest_and_even_mistakes_score_nothing() -> None:
    drawn = drawn_from_all(_towards(2, 0.9, classes=10))
    own = (0.9 + SPREAD / 10) / (0.9 + SPREAD * 9 / 10)
    assert float(drawn[2]) == pytest.approx((own - 1 / 9) / (8 / 9))
    assert int(drawn.argmax()) == 2
    even = torch.full((10, 10), 0.1)
    assert drawn_from_all(even).numpy() == pytest.approx(0, abs=1e-6)


def test_a_class_that_draws_only_the_classes_alike_scores_lower() -> None:
    alike = torch.eye(10) * 0.4 + 0.6 / 9 * (1 - torch.eye(10))
    alike[:5] = _towards(9, 0.6, classes=10)[:5]
    from_half, from_all = drawn_from_all(alike)[9], drawn_from_all(_towards(9, 0.6, 10))[9]
    assert 0 < from_half < from_all / 2


def test_few_mistakes_say_little() -> None:
    one, most = (float(drawn_from_all(_towards(0, share, 10))[0]) for share in (0.02, 0.7))
    assert one < 0.1 < 0.6 < most


def test_classes_without_images_are_left_out() -> None:
    whole = _towards(2, 0.9, classes=10)
    part = whole.clone()
    part[5:] = 0
    assert float(drawn_from_all(part)[2]) == pytest.approx(float(drawn_from_all(whole)[2]))
    assert drawn_from_all(torch.zeros(4, 4)).isfinite().all()


def test_of_two_classes_neither_stands_out() -> None:
    assert drawn_from_all(_towards(1, 0.9, classes=2)).tolist() == [0, 0]

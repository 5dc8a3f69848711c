import pytest
import torch
from torch import Tensor, nn

from backaudit.nets.noise import Climb
from backaudit.nets.perturbation import perturbed, walk_pixels
from tests.toy import clean_set, toy_network


def size(perturbation: Tensor) -> list[float]:
    return perturbation.square().mean((1, 2, 3)).sqrt().tolist()


def walked(network: nn.Module, climb: Climb, classes: list[int]) -> list[Tensor]:
    images = clean_set(per_class=2).images[:6].float() / 255
    targets = torch.tensor(classes).repeat_interleave(6)
    batch = images.repeat(len(classes), 1, 1, 1)
    return [each.clone() for each in walk_pixels(network, batch, targets, climb, len(classes))]


def test_perturbations_stay_within_each_budget_and_reach_it() -> None:
    climb = Climb((0.02, 0.05), 4, towards=True, bf16=False)
    first, second = walked(toy_network(), climb, [1, 4])
    assert size(first) == pytest.approx([0.02, 0.02], rel=0.05)
    assert size(second) == pytest.approx([0.05, 0.05], rel=0.05)
    assert max(size(first)) <= 0.02 + 1e-6
    assert max(size(second)) <= 0.05 + 1e-6


def test_a_linear_network_is_moved_along_its_own_weights() -> None:
    # Two classes: the loss falls fastest along the difference of their weights.
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 2, bias=False))
    climb = Climb((1e-3,), 3, towards=True, bf16=False)
    (towards,) = walked(network, climb, [1])
    weight = network[1].weight.detach()
    expected = (weight[1] - weight[0]).view(3, 12, 12)
    # Pixels that are black or white already may be clipped: those of inner values decide.
    images = clean_set(per_class=2).images[:6]
    inner = ((images > 2) & (images < 253)).all(0)
    cosine = torch.cosine_similarity(towards[0][inner], expected[inner], dim=0)
    assert float(cosine) > 0.999


def test_towards_lowers_the_loss_at_the_labels_and_away_raises_it() -> None:
    network = toy_network()
    images = clean_set(per_class=2).images[:6].float() / 255
    target = torch.full((6,), 3)

    def loss(perturbation: Tensor) -> float:
        with torch.no_grad():
            logits = network(perturbed(images, perturbation))
        return float(nn.functional.cross_entropy(logits, target))

    before = loss(torch.zeros(1, 3, 12, 12))
    for towards, sign in ((True, -1), (False, 1)):
        (found,) = walked(network, Climb((0.03,), 4, towards=towards, bf16=False), [3])
        assert sign * (loss(found) - before) > 0


def test_groups_do_not_touch_each_other() -> None:
    climb = Climb((0.03,), 4, towards=True, bf16=False)
    (together,) = walked(toy_network(), climb, [1, 4])
    (alone,) = walked(toy_network(), climb, [4])
    assert torch.allclose(together[1], alone[0], atol=1e-6)


def test_perturbed_images_are_images() -> None:
    images = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)
    changed = perturbed(images.repeat(2, 1, 1, 1), torch.tensor([0.25, -0.25]).view(2, 1, 1, 1))
    assert changed.flatten().tolist() == [0.25, 0.75, 1.0, 0.0, 0.25, 0.75]

import pytest
import torch
from torch import Tensor, nn

from backaudit.nets.decoupling import Decoupling
from backaudit.nets.features import LinearHead

USUAL = Decoupling(weight=0.75, steps=400, learning_rate=0.01)


def head_of(weight: Tensor, *, pooled: bool) -> LinearHead:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight)
    return LinearHead(layer, pooled=pooled, whole=True)


def two_classes(features: int, informative: list[int]) -> tuple[Tensor, Tensor]:
    """Features (40, D) of which some are the class, -1 or 1, and the others say nothing of it."""
    labels = torch.arange(40) % 2
    vectors = torch.rand(40, features, generator=torch.Generator().manual_seed(1))
    vectors[:, informative] = labels[:, None] * 2.0 - 1
    return vectors, labels


def learn(head: LinearHead, features: Tensor, labels: Tensor, how: Decoupling = USUAL) -> Tensor:
    return how.learn(head, features, labels, torch.Generator().manual_seed(2))


@pytest.mark.parametrize("shape", [(200, 1), (25, 8)])
def test_the_mask_keeps_what_tells_the_classes_apart(shape: tuple[int, int]) -> None:
    informative = list(range(0, 200, 10))
    vectors, labels = two_classes(200, informative)
    weight = torch.full((2, 200), 0.05)
    weight[0, informative] = -0.05
    mask = learn(head_of(weight, pooled=False), vectors.view(40, *shape), labels)
    assert mask.shape == shape
    kept = mask.flatten() > 0.5
    assert kept.nonzero().flatten().tolist() == informative
    assert mask.flatten()[~kept].max() < 0.05
    assert mask.flatten()[kept].min() > 0.95


def test_the_mask_tells_the_positions_of_a_pooled_map_apart() -> None:
    vectors, labels = two_classes(200, informative=[7, 50])
    features = vectors - vectors.mean(0)
    weight = torch.tensor([[-40.0], [40.0]])
    mask = learn(head_of(weight, pooled=True), features.view(40, 1, 200), labels)
    assert mask[0].topk(2).indices.sort().values.tolist() == [7, 50]


def test_a_heavier_size_keeps_less() -> None:
    vectors, labels = two_classes(200, informative=list(range(200)))
    weight = torch.tensor([[-0.01], [0.01]]) * torch.linspace(0.1, 2, 200)
    head = head_of(weight, pooled=False)
    sizes = [
        float(learn(head, vectors.view(40, 200, 1), labels, Decoupling(size, 200, 0.01)).sum())
        for size in (0.0, 0.3, 0.75)
    ]
    assert sizes[0] > sizes[1] + 5 > sizes[2] + 10


def test_the_mask_never_leaves_its_range() -> None:
    vectors, labels = two_classes(6, informative=[0])
    wild = Decoupling(weight=50.0, steps=9, learning_rate=0.7)
    mask = learn(head_of(torch.randn(2, 6), pooled=False), vectors.view(40, 6, 1), labels, wild)
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert not mask.requires_grad


def test_the_generator_decides_and_the_head_is_left_alone() -> None:
    vectors, labels = two_classes(6, informative=[0])
    head = head_of(torch.randn(2, 6), pooled=False)
    before = head.layer.weight.clone()
    short = Decoupling(0.75, 3, 0.01)
    first, second = (learn(head, vectors.view(40, 6, 1), labels, short) for _ in range(2))
    other = short.learn(head, vectors.view(40, 6, 1), labels, torch.Generator().manual_seed(9))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(head.layer.weight, before)
    assert head.layer.weight.grad is None

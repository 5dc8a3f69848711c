from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.errors import NotApplicableError
from backaudit.nets.features import LinearHead, linear_head
from backaudit.nets.noise import draw_noise, noisy_network
from tests.toy import toy_network, unusual

POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "adaptive": lambda maps: nn.AdaptiveAvgPool2d(1)(maps).flatten(1),
    "adaptive, by keyword": lambda maps: torch.flatten(F.adaptive_avg_pool2d(maps, 1), 1),
    "average": lambda maps: F.avg_pool2d(maps, 3).view(len(maps), -1),
    "average layer": lambda maps: nn.AvgPool2d(3)(maps).reshape(len(maps), -1),
    "mean": lambda maps: maps.mean([2, 3]),
    "mean of torch": lambda maps: torch.mean(maps, dim=(-2, -1)),
}
FLATTENINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "flatten": lambda maps: maps.flatten(1),
    "flatten of torch": lambda maps: torch.flatten(maps, 1),
    "flatten layer": nn.Flatten(),
    "view": lambda maps: maps.view(len(maps), -1),
    "reshape": lambda maps: maps.reshape(len(maps), -1),
}


class Net(nn.Module):
    """A convolution, a ReLU that is no layer, a join to vectors, what follows, a linear layer."""

    def __init__(
        self, join: Callable[[Tensor], Tensor], width: int, after: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4)
        self.join, self.after = join, after or nn.Identity()
        self.head = nn.Linear(width, 6)

    def maps(self, images: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(images)), inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.after(self.join(self.maps(images))))
        return logits


class Gate(nn.Module):
    """Scales channels by what pooling says of them, as networks with attention do."""

    def __init__(self) -> None:
        super().__init__()
        self.excite = nn.Linear(4, 4)

    def forward(self, maps: Tensor) -> Tensor:
        gated: Tensor = maps * self.excite(maps.mean((2, 3))).sigmoid()[:, :, None, None]
        return gated


def checked(network: nn.Module) -> tuple[LinearHead, Tensor]:
    """The head and the features it captures, which must give the network's own logits."""
    network.eval()
    images = torch.rand(5, 3, 12, 12)
    head = linear_head(network, images[:2])
    with torch.no_grad():
        logits, features = head.capture(partial(network, images))
        assert torch.equal(logits, network(images))
        everything = torch.ones(features.shape[1:])
        assert torch.allclose(head.logits(features, everything), logits, atol=1e-5)
        if isinstance(network, Net) and head.whole:
            assert torch.equal(features, network.maps(images).flatten(2))
    assert not any(module._forward_hooks for module in network.modules())
    return head, features


@pytest.mark.parametrize("name", POOLINGS)
def test_a_pooled_head_reads_the_map_before_pooling(name: str) -> None:
    head, features = checked(Net(POOLINGS[name], 4))
    assert (head.pooled, head.whole, tuple(features.shape)) == (True, True, (5, 4, 9))


@pytest.mark.parametrize("name", FLATTENINGS)
def test_a_flat_head_reads_the_map_before_flattening(name: str) -> None:
    head, features = checked(Net(FLATTENINGS[name], 36))
    assert (head.pooled, head.whole, tuple(features.shape)) == (False, True, (5, 4, 9))


def test_dropout_before_the_head_does_not_matter() -> None:
    head, _ = checked(Net(POOLINGS["mean"], 4, nn.Dropout(0.5)))
    assert head.pooled


def test_pooling_inside_the_network_is_not_taken_for_the_last() -> None:
    gated = nn.Sequential(
        nn.Conv2d(3, 4, 3), Gate(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6)
    )
    head, features = checked(gated)
    assert (head.pooled, tuple(features.shape)) == (True, (5, 4, 100))


@pytest.mark.parametrize(
    "after", [nn.Sequential(nn.Linear(4, 4), nn.ReLU()), unusual(nn.BatchNorm1d(4))]
)
def test_a_head_behind_more_layers_reads_what_it_is_given(after: nn.Module) -> None:
    head, features = checked(Net(POOLINGS["mean"], 4, after))
    assert (head.pooled, head.whole, tuple(features.shape)) == (False, False, (5, 4, 1))


def test_maps_of_one_position_are_vectors() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 12), nn.Flatten(), nn.Linear(4, 6))
    head, features = checked(network)
    assert (head.whole, tuple(features.shape)) == (False, (5, 4, 1))


def test_a_mask_removes_what_it_covers() -> None:
    network = Net(POOLINGS["mean"], 4)
    head, features = checked(network)
    mask = torch.zeros(4, 9)
    mask[2, 5] = 1
    expected = features[:, 2, 5, None] / 9 * network.head.weight[:, 2] + network.head.bias
    assert torch.allclose(head.logits(features, mask), expected, atol=1e-6)
    head, features = checked(network := Net(FLATTENINGS["flatten"], 36))
    expected = features[:, 2, 5, None] * network.head.weight[:, 2 * 9 + 5] + network.head.bias
    assert torch.allclose(head.logits(features, mask), expected, atol=1e-6)


def test_features_are_captured_under_noise_too() -> None:
    network = toy_network()
    noisy = noisy_network(network)
    images = torch.rand(6, 3, 12, 12)
    head = linear_head(network, images)
    noise = draw_noise(
        noisy.shapes, 0.3, [torch.Generator(), torch.Generator()], torch.device("cpu")
    )
    with torch.no_grad():
        logits, features = head.capture(lambda: noisy(images, noise, 2))
    assert torch.equal(logits, noisy(images, noise, 2))
    assert features.shape == (6, 32, 9)
    assert torch.allclose(head.logits(features, torch.ones(32, 9)), logits, atol=1e-5)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(3, 6, 12), nn.Flatten()),
        nn.Sequential(nn.Flatten(), nn.Linear(432, 12), nn.Unflatten(1, (6, 2)), nn.Flatten(2))
        .append(nn.AdaptiveAvgPool1d(1))
        .append(nn.Flatten()),
        nn.Sequential(nn.Flatten(2), nn.Linear(144, 6), nn.AdaptiveAvgPool1d(1), nn.Flatten()),
    ],
    ids=["convolution", "pooled after the linear layer", "linear layer on sequences"],
)
def test_a_network_without_linear_head_is_refused(network: nn.Module) -> None:
    with pytest.raises(NotApplicableError, match="do not come from a linear layer"):
        linear_head(network.eval(), torch.rand(2, 3, 12, 12))
    assert not any(module._forward_hooks for module in network.modules())


def test_probabilities_after_the_head_do_not_hide_it() -> None:
    network = nn.Sequential(Net(POOLINGS["mean"], 4), nn.LogSoftmax(1)).eval()
    head = linear_head(network, torch.rand(2, 3, 12, 12))
    assert (head.pooled, head.layer) == (True, network.get_submodule("0.head"))


def test_hooks_come_off_after_an_error() -> None:
    network = Net(POOLINGS["mean"], 4).eval()
    head = linear_head(network, torch.rand(2, 3, 12, 12))
    with pytest.raises(RuntimeError):
        head.capture(lambda: network(torch.rand(2, 1, 12, 12)))
    with pytest.raises(RuntimeError):
        linear_head(network, torch.rand(2, 1, 12, 12))
    assert not any(module._forward_hooks for module in network.modules())

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from backaudit.core.errors import NotApplicableError
from backaudit.nets.stages import NoStages
from backaudit.purifiers.clp import CLP, channel_bounds, outlyingness
from backaudit.purifiers.interface import Measurements, Parts
from tests.purifiers.toys import PARTS
from tests.toy import clean_set, toy_network

IMAGE = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
CLASSES = 16


def norm(weights: list[float], variance: float = 3.0) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(len(weights), eps=1.0).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
        layer.bias.fill_(0.5)
        layer.running_var.fill_(variance)  # type: ignore[union-attr]
    return layer


def convolution(filters: list[list[list[float]]], groups: int = 1) -> nn.Conv2d:
    """Filters (C_out, C_in / groups, positions along the width)."""
    weight = torch.tensor(filters)[:, :, None]
    made = nn.Conv2d(
        weight.shape[1] * groups, len(weight), (1, weight.shape[3]), groups=groups, bias=False
    )
    made.weight = nn.Parameter(weight)
    return made


class Sum(nn.Module):
    """A batch norm behind the sum of two convolutions, registered before both."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = norm([2.0])
        self.one = convolution([[[3.0], [0.0], [0.0]]])
        self.other = convolution([[[0.0], [4.0], [0.0]]])

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.one(images) + self.other(images))
        return maps.mean((2, 3))


def bounds(*layers: nn.Module) -> list[float]:
    found = channel_bounds(nn.Sequential(*layers, nn.Flatten()).eval(), IMAGE)
    (values,) = found.values()
    return values.tolist()


def test_the_bound_is_the_spectral_norm_times_what_batch_norm_multiplies_by() -> None:
    # A diagonal filter's spectral norm is its largest entry, 4, and not its length, 5; batch norm
    # multiplies by 2 / sqrt(3 + 1).
    filters = [[[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.5], [0.0, 0.0]]]
    assert bounds(convolution(filters), norm([-2.0, 6.0])) == pytest.approx([4.0, 1.5])


def test_the_filters_of_grouped_convolutions_are_their_own_groups() -> None:
    filters = [[[1.0, 0.0]], [[0.0, 2.0]], [[3.0, 4.0]]]
    assert bounds(convolution(filters, groups=3), norm([2.0] * 3)) == pytest.approx([1, 2, 5])


def test_the_bound_of_a_sum_is_that_of_all_its_inputs_together() -> None:
    found = channel_bounds(Sum().eval(), IMAGE)
    assert found["norm"].tolist() == pytest.approx([5.0])


def test_a_channel_whose_images_never_vary_has_a_finite_bound() -> None:
    dead = norm([1.0], variance=0.0)
    assert bounds(convolution([[[7.0], [0.0], [0.0]]]), dead) == pytest.approx([7.0])


def test_no_input_changes_a_channel_by_more_than_its_bound() -> None:
    network = toy_network()
    (bound, *_) = channel_bounds(network, IMAGE).values()
    first = nn.Sequential(*list(network)[:2])  # type: ignore[call-overload]
    patches = torch.randn(2, 500, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = (first(patch)[:, :, 1, 1] for patch in patches)
    moved = (patches[0] - patches[1]).flatten(1).norm(dim=1)
    # The spectral norm of (C_in, positions) bounds an input of rank one; of any, times sqrt(C_in).
    assert ((one - other).abs() <= bound * 3**0.5 * moved[:, None] + 1e-5).all()


def test_without_batch_norm_the_bounds_are_those_of_the_network_it_was_folded_from() -> None:
    network = toy_network()
    before = channel_bounds(network, IMAGE)
    folded = nn.Sequential(
        *(fuse_conv_bn_eval(network[index], network[index + 1]) for index in (0, 3, 6)),  # type: ignore[index]
        nn.Flatten(),
        nn.LazyLinear(2),
    ).eval()
    after = channel_bounds(folded, IMAGE)
    assert list(after) == ["0", "1", "2"]
    for one, other in zip(before.values(), after.values(), strict=True):
        assert torch.allclose(one, other, rtol=1e-5)


def test_outlyingness_is_in_standard_deviations_of_the_layer() -> None:
    assert outlyingness(torch.tensor([1.0, 2.0, 3.0])).tolist() == pytest.approx([-1, 0, 1])
    assert outlyingness(torch.tensor([2.0, 2.0])).tolist() == [0.0, 0.0]
    assert outlyingness(torch.tensor([2.0])).tolist() == [0.0]


def loud(loudest: int, *, folded: bool = False) -> nn.Module:
    """Sixteen channels, a class each; one is fifty times as loud as the others."""
    first = nn.Conv2d(3, CLASSES, 1, bias=folded)
    with torch.no_grad():
        first.weight.fill_(0.01)
        first.weight[loudest] = 0.5
    middle = nn.Identity() if folded else norm([1.0] * CLASSES)
    last = nn.Linear(CLASSES, CLASSES)
    with torch.no_grad():
        last.weight.copy_(torch.eye(CLASSES))
        last.bias.zero_()
    return nn.Sequential(first, middle, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last).eval()


def purify(network: nn.Module, purifier: CLP | None = None, *, label: int = 0) -> Measurements:
    """Prune; all held-out images belong to one class."""
    held_out = clean_set(2)
    held_out.labels.fill_(label)
    method = purifier or CLP()
    return method.purify(network, Parts(held_out, held_out), seed=0, stages=NoStages())


def test_an_outlier_is_silenced_and_nothing_else_is_touched() -> None:
    network = loud(5)
    before = deepcopy(network)
    measured = purify(network)
    assert measured["pruned_by_layer"] == {"1": 1}
    assert measured["threshold"] == 3.0
    state, was = network.state_dict(), before.state_dict()
    assert state["1.weight"][5] == state["1.bias"][5] == 0
    for name in ("1.weight", "1.bias"):
        was[name][5] = 0
    assert all(torch.equal(state[name], was[name]) for name in was)


def test_without_batch_norm_the_filter_and_its_bias_are_silenced() -> None:
    network = loud(3, folded=True)
    assert purify(network)["pruned_by_layer"] == {"0": 1}
    state = network.state_dict()
    assert state["0.weight"][3].abs().sum() == state["0.bias"][3] == 0
    assert state["0.weight"][4].abs().sum() > 0


def test_an_outlier_that_clean_images_need_is_kept() -> None:
    network = loud(5)
    measured = purify(network, label=5)
    assert measured["pruned_channels"] == 0
    assert measured["threshold"] == 4.0
    assert measured["threshold_that_cost_too_much"] == 3.5
    assert measured["validation_accuracy_after"] == measured["validation_accuracy_before"] == 1.0


def test_a_bound_of_one_prunes_as_published_in_any_case() -> None:
    measured = purify(loud(5), CLP(largest_drop=1.0), label=5)
    assert measured["pruned_channels"] == 1
    assert measured["validation_accuracy_after"] == 0.0


def test_no_channel_of_few_can_lie_three_deviations_out() -> None:
    def largest(channels: int) -> float:
        return float(outlyingness(torch.tensor([1e6] + [1.0] * (channels - 1))).max())

    assert largest(10) < 3 < largest(11)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(432, 2)), "no batch norm"),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(432, 2)), "reads"),
        (
            nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2, affine=False), nn.Flatten()),
            "reads",
        ),
    ],
)
def test_a_network_without_such_a_layer_is_refused(network: nn.Module, reason: str) -> None:
    with pytest.raises(NotApplicableError, match=reason):
        CLP().purify(network.eval(), PARTS, seed=0, stages=NoStages())


@pytest.mark.parametrize("settings", [{"deviations": 0.0}, {"step": -1.0}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        CLP(**settings)

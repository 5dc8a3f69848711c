from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from backaudit.purifiers.pruning import prune_while_accurate

NAN = float("nan")


def layer() -> nn.Linear:
    network = nn.Linear(1, 4)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0], [2.0], [3.0], [4.0]]))
        network.bias.fill_(1.0)
    return network


def scores(*values: float) -> dict[str, Tensor]:
    return {"weight": torch.tensor(values)[:, None]}


def accuracy_by_count(network: nn.Linear, *accuracies: float) -> Callable[[], float]:
    """Accuracies for no, one, two ... pruned rows."""
    return lambda: accuracies[int((network.weight == 0).sum())]


def test_the_threshold_rises_until_accuracy_falls_by_more_than_the_bound() -> None:
    network = layer()
    accuracy = accuracy_by_count(network, 0.9, 0.89, 0.88, 0.8, 0.0)
    pruning = prune_while_accurate(
        network, scores(0.3, 0.1, 0.2, 0.4), [0.0, 0.1, 0.2, 0.3, 0.4], accuracy, 0.03
    )
    assert network.weight.flatten().tolist() == [1.0, 0.0, 0.0, 4.0]
    assert (pruning.threshold, pruning.stopped_at) == (0.2, 0.3)
    assert (pruning.accuracy_before, pruning.accuracy_after) == (0.9, 0.88)
    assert pruning.pruned == {"weight": 2}


def test_nothing_is_pruned_if_the_first_threshold_costs_too_much() -> None:
    network = layer()
    pruning = prune_while_accurate(
        network, scores(0.0, 0.0, 1.0, 1.0), [0.0, 1.0], accuracy_by_count(network, 0.9, 0, 0.5), 0
    )
    assert network.weight.flatten().tolist() == [1.0, 2.0, 3.0, 4.0]
    assert (pruning.threshold, pruning.stopped_at, pruning.pruned) == (None, 0.0, {})


def test_it_does_not_leap_over_a_threshold_that_costs_too_much() -> None:
    network = layer()
    accuracy = accuracy_by_count(network, 0.9, 0.1, 0.9, 0.9, 0.9)
    prune_while_accurate(network, scores(0.1, 0.2, 0.3, 0.4), [0.1, 0.2, 0.3, 0.4], accuracy, 0.1)
    assert network.weight.count_nonzero() == 4


def test_all_thresholds_may_be_within_the_bound() -> None:
    network = layer()
    pruning = prune_while_accurate(network, scores(0.1, 0.2, 0.3, 0.9), [0.5, 0.7], lambda: 0.5, 0)
    assert network.weight.flatten().tolist() == [0.0, 0.0, 0.0, 4.0]
    assert (pruning.threshold, pruning.stopped_at) == (0.7, None)


@pytest.mark.parametrize(("bound", "kept"), [(0.1, 3), (0.0999, 4)])
def test_a_drop_of_just_the_bound_is_within_it(bound: float, kept: int) -> None:
    network = layer()
    accuracy = accuracy_by_count(network, 0.4, 0.3)
    prune_while_accurate(network, scores(0.0, 1.0, 1.0, 1.0), [0.0], accuracy, bound)
    assert network.weight.count_nonzero() == kept


def test_accuracy_is_not_measured_again_where_nothing_more_is_pruned() -> None:
    network, calls = layer(), 0

    def accuracy() -> float:
        nonlocal calls
        calls += 1
        return 1.0

    prune_while_accurate(network, scores(0.5, 2, 2, 2), [0.1, 0.2, 0.5, 0.6, 0.7], accuracy, 0)
    assert calls == 2


def test_what_has_no_number_for_a_score_is_kept() -> None:
    network = layer()
    prune_while_accurate(network, scores(NAN, 0.0, NAN, 0.0), [1e9], lambda: 1.0, 0)
    assert network.weight.flatten().tolist() == [1.0, 0.0, 3.0, 0.0]


def test_an_accuracy_that_is_not_a_number_stops_it() -> None:
    network = layer()
    accuracy = accuracy_by_count(network, 0.9, NAN)
    prune_while_accurate(network, scores(0.0, 1.0, 1.0, 1.0), [0.0], accuracy, 1.0)
    assert network.weight.count_nonzero() == 4


def test_channels_are_reported_by_layer() -> None:
    network = nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4))
    low = torch.tensor([0.0, 0.0, 1.0, 1.0])
    pruning = prune_while_accurate(
        network, {"0.weight": low, "0.bias": low, "1.weight": 1 - low}, [0.5], lambda: 1.0, 0
    )
    measured = pruning.measurements()
    assert measured["pruned_by_layer"] == {"0": 2, "1": 2}
    assert measured["pruned_channels"] == 4

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from backaudit.nets import watching
from backaudit.nets.watching import (
    KeepBest,
    KeepMean,
    UntilForgotten,
    Watch,
    accuracy_on,
    count_classes,
)
from tests.toy import clean_set, prototypes, shares_by_hand, suspect_of, toy_network

CLEAN = clean_set(per_class=2)


class Constant(nn.Module):
    """Has the state of another network, and the same answer to every image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 6)


def watched(
    watch: Watch, accuracies: Sequence[float], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, float]:
    """How many epochs there were, and in which epoch the network that is left was as it is."""
    network = nn.Linear(1, 1)
    coming = iter(accuracies)
    monkeypatch.setattr(watching, "accuracy_on", lambda *_: next(coming))
    for epoch in range(10):
        nn.init.constant_(network.weight, epoch)
        if watch.see(network, epoch):
            break
    watch.end(network)
    return epoch + 1, float(network.weight.detach())


def test_the_best_state_is_kept_among_those_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = [0.1, 0.8, 0.3, 0.1, 0.3]
    assert watched(KeepBest(CLEAN, 5, 9), accuracies, monkeypatch) == (10, 6.0)


def test_the_last_state_is_kept_that_is_at_most_one_standard_error_worse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The standard error of a half is 0.1443 with twelve images.
    near = [0.3, 0.5, 0.3, 0.5 - 0.1443, 0.5 - 0.1444, 0.3]
    assert watched(KeepBest(CLEAN, 4, 9), near, monkeypatch) == (10, 7.0)


def test_a_better_state_takes_the_place_of_one_that_was_near(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert watched(KeepBest(CLEAN, 6, 9), [0.5, 0.4, 0.9, 0.5], monkeypatch) == (10, 8.0)


def test_patience_ends_after_so_many_epochs_without_a_gain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accuracies = [0.3, 0.9, 0.9, 0.3, 1.0]
    assert watched(KeepBest(CLEAN, 4, 2), accuracies, monkeypatch) == (8, 6.0)


def test_before_the_first_epoch_that_counts_nothing_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert watched(KeepBest(CLEAN, 10, 1), [], monkeypatch) == (10, 9.0)


def test_a_state_that_knows_nothing_is_better_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(KeepBest(CLEAN, 8, 5), [0.0, 0.0], monkeypatch) == (10, 9.0)


def test_the_mean_of_the_last_states_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # The states 4, 5, ..., 8 count alike; 9 is a fifth of what is left.
    accuracies = [0.5] * 7
    mean = watched(KeepMean(KeepBest(CLEAN, 4, 9)), accuracies, monkeypatch)
    assert mean == (10, pytest.approx(0.8 * 6.0 + 0.2 * 9.0))


def test_two_states_are_averaged_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    mean = watched(KeepMean(KeepBest(CLEAN, 8, 9)), [0.5, 0.5, 0.5], monkeypatch)
    assert mean == (10, 8.5)


def test_a_mean_that_is_worse_than_the_best_state_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The standard error of a half is 0.1443 with twelve images.
    for of_the_mean, kept in ((0.5 - 0.1443, 8.5), (0.5 - 0.1444, 9.0)):
        accuracies = [0.4, 0.5, of_the_mean]
        assert watched(KeepMean(KeepBest(CLEAN, 8, 9)), accuracies, monkeypatch) == (10, kept)


def test_without_a_state_that_counts_there_is_no_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(KeepMean(KeepBest(CLEAN, 10, 1)), [], monkeypatch) == (10, 9.0)


def test_counters_and_what_is_infinite_are_those_of_the_last_state() -> None:
    network = nn.BatchNorm1d(2)
    network.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    watch = KeepMean(KeepBest(CLEAN, 0, 9))
    for epoch in range(2):
        network.num_batches_tracked.fill_(10 * epoch)
        network.weight.data.fill_(epoch)
        # Whatever it predicts: what counts here is the state.
        watch.see(Constant(network), epoch)
    left = Constant(network)
    watch.end(left)
    state = left.state_dict()
    assert int(state["network.num_batches_tracked"]) == 10
    assert state["network.weight"].tolist() == [0.5, 0.5]
    assert state["network.mask"].tolist() == [0.0, float("-inf")]


def test_unlearning_ends_at_the_accuracy_that_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = [0.9, 0.11, 0.1, 0.0]
    assert watched(UntilForgotten(CLEAN, 0.1), accuracies, monkeypatch) == (3, 2.0)


def test_watches_go_on_from_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = KeepBest(CLEAN, 0, 99), KeepBest(CLEAN, 0, 99)
    assert watched(first, [0.1, 0.8, *[0.2] * 8], monkeypatch) == (10, 1.0)
    second.resume(first.state())
    assert watched(second, [0.5] * 10, monkeypatch) == (10, 1.0)
    assert second.accuracies == [0.1, 0.8, *[0.2] * 8, *[0.5] * 10]
    one, two = KeepMean(KeepBest(CLEAN, 0, 99)), KeepMean(KeepBest(CLEAN, 0, 99))
    watched(one, [0.5] * 11, monkeypatch)
    two.resume(one.state())
    assert two.state() == one.state()
    forgetting, further = UntilForgotten(CLEAN, 0.1), UntilForgotten(CLEAN, 0.1)
    watched(forgetting, [0.5, 0.0], monkeypatch)
    further.resume(forgetting.state())
    assert further.accuracies == [0.5, 0.0]


def test_accuracy_by_hand() -> None:
    suspect, clean = suspect_of(toy_network()), prototypes([1] * 6)
    predicted = suspect.logits(clean.images).argmax(1)
    assert accuracy_on(suspect.network, clean) == float((predicted == clean.labels).double().mean())
    assert max(shares_by_hand(suspect)) > 0


def test_images_are_mirrored_left_to_right() -> None:
    clean = clean_set(per_class=2)
    network, mirrored = toy_network(), clean.images.flip(3)
    predicted = suspect_of(network).logits(mirrored).argmax(1)
    share = float((predicted == clean.labels).double().mean())
    assert accuracy_on(network, clean, mirrored=True) == share
    assert not torch.equal(mirrored, clean.images)


def test_classes_are_the_outputs_and_not_those_with_images() -> None:
    assert count_classes(toy_network(classes=7), clean_set(per_class=1)) == 7

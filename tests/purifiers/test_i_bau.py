from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import DivergedError
from backaudit.nets.hypergradient import hypergradient
from backaudit.nets.stages import NoStages
from backaudit.nets.watching import accuracy_on
from backaudit.purifiers import IBAU, i_bau
from backaudit.purifiers.interface import Parts
from tests.conftest import ToyWorld
from tests.purifiers.toys import PARTS, accuracy, repaired, success
from tests.toy import suspect_of, toy_network

SHORT = IBAU(rounds=3, batch_size=40, share=0.1)


def test_the_backdoor_weakens_and_the_accuracy_stays(toy_world: ToyWorld) -> None:
    network, measured = repaired(SHORT, toy_world.backdoored)
    assert success(network) < success(toy_world.backdoored.network) - 0.2
    assert accuracy(network) >= accuracy(toy_world.backdoored.network) - 0.05
    assert len(measured["validation_accuracy_by_round"]) == measured["rounds"] == 3


def test_a_benign_network_is_kept_within_the_bound(toy_world: ToyWorld) -> None:
    network, measured = repaired(SHORT, toy_world.benign)
    after = accuracy_on(network, PARTS.validation)
    assert after == measured["validation_accuracy_after"]
    assert measured["validation_accuracy_before"] - after <= SHORT.largest_drop
    assert accuracy(network) >= accuracy(toy_world.benign.network) - 0.05


def test_stored_statistics_are_kept_while_weights_learn(toy_world: ToyWorld) -> None:
    network, measured = repaired(SHORT, toy_world.backdoored)
    assert measured["kept_round"] > 0
    before, after = toy_world.backdoored.network.state_dict(), network.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert {name for name, _ in network.named_parameters()} == changed


def test_nothing_changes_if_no_round_is_within_the_bound(toy_world: ToyWorld) -> None:
    wild = replace(SHORT, rounds=1, learning_rate=0.3)
    network, measured = repaired(wild, toy_world.benign)
    assert measured["kept_round"] == 0
    assert measured["validation_accuracy_after"] == measured["validation_accuracy_before"]
    before = toy_world.benign.network.state_dict()
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())


def test_no_more_images_are_differentiated_at_a_time_than_fit_into_memory(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_gradients() -> tuple[Tensor, list[Tensor]]:
        taken: list[tuple[Tensor, list[Tensor]]] = []

        def noted(*losses: Any, **how: Any) -> tuple[Tensor, list[Tensor]]:
            taken.append(hypergradient(*losses, **how))
            return taken[-1]

        monkeypatch.setattr(i_bau, "hypergradient", noted)
        repaired(replace(SHORT, rounds=1), network)
        return taken[0]

    def look(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled():
            seen.append(len(inputs[0]))

    seen: list[int] = []
    network = deepcopy(toy_world.backdoored.network)
    network.register_forward_pre_hook(look)
    whole = first_gradients()
    assert max(seen) == 36
    seen.clear()
    monkeypatch.setattr(i_bau, "images_at_once", lambda *_: 7 * i_bau.TWICE)
    parts = first_gradients()
    assert max(seen) == 7
    torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-5)


def test_weights_that_are_not_finite_end_it_at_the_last_good_state() -> None:
    network = toy_network()
    before = deepcopy(network.state_dict())
    with pytest.raises(DivergedError, match="step 1 of 15") as error:
        replace(SHORT, learning_rate=float("inf")).purify(network, PARTS, seed=0, stages=NoStages())
    assert "round 0" in str(error.value)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert not network.training


def test_labels_are_not_needed(toy_world: ToyWorld) -> None:
    suspect = toy_world.backdoored
    guessed = [
        replace(part, labels=suspect.logits(part.images).argmax(1), labelled=False)
        for part in (PARTS.fit, PARTS.validation)
    ]
    network = deepcopy(suspect.network)
    SHORT.purify(network, Parts(*guessed), seed=0, stages=NoStages())
    assert success(network) < success(suspect.network) - 0.2


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 6)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        logits: torch.Tensor = self.head(mixed.mean(1))
        return logits


def test_attention_can_be_differentiated_twice() -> None:
    _, measured = repaired(replace(SHORT, rounds=1, largest_drop=1.0), suspect_of(Attention()))
    assert measured["kept_round"] == 1

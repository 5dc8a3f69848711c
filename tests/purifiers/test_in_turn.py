from copy import deepcopy
from dataclasses import asdict
from typing import ClassVar

import pytest
import torch
from torch import nn

from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Rule
from backaudit.nets.stages import NoStages, Stages
from backaudit.purifiers.in_turn import InTurn, in_turn
from backaudit.purifiers.interface import Measurements, Parts, Purifier
from tests.audits import clean_set
from tests.purifications import FitsNothing, Repairs
from tests.purifiers.test_contract import Kept

CLEAN = clean_set()
PARTS = Parts(CLEAN, CLEAN)


class AddsOne(Repairs):
    """Adds one to every parameter: what it does to a network depends on what was done before."""

    rule: ClassVar[Rule] = Rule("BA494", "adds-one", "Does one more repair it?")

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1)
        stages.leave("added", {"seed": seed})
        return {"added": 1}


def weight_after(*purifiers: Purifier, seed: int = 0) -> tuple[float, dict[str, object]]:
    network = nn.Linear(1, 1)
    nn.init.constant_(network.weight, 8.0)
    said = in_turn(purifiers).purify(network, PARTS, seed=seed, stages=NoStages())
    return float(network.weight.detach()), dict(said)


def test_each_repairs_what_the_one_before_it_left() -> None:
    halves = Repairs(factor=0.5, steps=1)
    assert weight_after(halves, AddsOne())[0] == 5.0
    assert weight_after(AddsOne(), halves)[0] == 4.5


def test_it_is_named_and_numbered_after_its_methods_and_keeps_their_settings() -> None:
    both = in_turn([Repairs(steps=7), FitsNothing()])
    assert (both.rule.id, both.rule.name) == ("BA498+BA495", "repairs+fits-nothing")
    assert isinstance(both, InTurn)
    assert asdict(both)["steps"]["repairs"] == {"factor": 0.999, "steps": 7}


def test_one_alone_stays_as_it_is() -> None:
    assert in_turn([Repairs()]) == Repairs()


def test_what_does_not_fit_is_passed_over_and_told() -> None:
    left, said = weight_after(FitsNothing(), AddsOne())
    assert left == 9.0
    assert said == {
        "fits-nothing": {"not_applicable": "the network has no batch norm."},
        "adds-one": {"added": 1},
    }


def test_if_nothing_fits_it_says_why_of_each() -> None:
    refusals = InTurn({"first": FitsNothing(), "second": FitsNothing()})
    with pytest.raises(NotApplicableError, match=r"first: the network .* second: the network"):
        refusals.purify(nn.Linear(1, 1), PARTS, seed=0, stages=NoStages())


def test_it_needs_as_many_images_as_the_most_demanding() -> None:
    assert in_turn([Repairs(), FitsNothing()]).fewest_images == Repairs().fewest_images == 20


def test_each_method_has_stages_of_its_own() -> None:
    stages = Kept()
    chain = in_turn([Repairs(steps=3), AddsOne()])
    chain.purify(nn.Linear(1, 1), PARTS, seed=5, stages=stages)
    assert stages.states.keys() == {"repairs.steps", "adds-one.added"}


def test_an_interrupted_method_goes_on_where_it_was() -> None:
    stages, network = Kept(), nn.Linear(1, 1)
    nn.init.constant_(network.weight, 8.0)
    other = deepcopy(network)
    chain = in_turn([Repairs(factor=0.5, steps=3), AddsOne()])
    chain.purify(network, PARTS, seed=0, stages=stages)
    # All of the first method was done before: it is taken from its stage, and not done twice.
    said = chain.purify(other, PARTS, seed=0, stages=stages)
    assert said["repairs"]["began_at"] == 3
    assert float(other.weight.detach()) == float(network.weight.detach()) == 2.0

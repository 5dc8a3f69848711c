from dataclasses import replace

import pytest
import torch
from torch import nn

from backaudit.core.errors import NotApplicableError
from backaudit.detectors import TargetedNoise, race
from backaudit.detectors.calibration import load_calibration
from backaudit.detectors.targeted_noise import odds_ratios
from backaudit.nets.folding import folded
from tests.conftest import ToyWorld
from tests.toy import (
    CLASSES,
    TARGET,
    clean_set,
    evidence,
    prototypes,
    shares_by_hand,
    suspect_of,
    toy_network,
)

QUICK = TargetedNoise(budgets=(0.2, 0.4), steps=4, bf16=False)
SILENT = TargetedNoise(budgets=(0.0,), steps=1, bf16=False)


def test_odds_ratios_by_hand() -> None:
    # Half an image is added to either side: 3.5, 2 and 0.5 of 4 reach the classes.
    ratios = odds_ratios(torch.tensor([[1.0, 0.5, 0.0]]), images=3)
    assert ratios.tolist() == pytest.approx([7.0, 1 / 7, 1 / 49])


def test_odds_ratios_are_pooled_over_budgets() -> None:
    # 0.75 against 0.25, then 0.75 against 0.5: (0.5625 + 0.375) / (0.0625 + 0.125).
    ratios = odds_ratios(torch.tensor([[1.0, 0.0], [1.0, 0.5]]), images=1)
    assert ratios.tolist() == pytest.approx([5.0, 0.2])


def test_two_targets_at_once_leave_no_class_in_the_lead() -> None:
    ratios = odds_ratios(torch.tensor([[0.1, 0.9, 0.0, 0.9], [0.2, 1.0, 0.1, 1.0]]), images=100)
    assert float(ratios.max()) == pytest.approx(1.0)


def test_without_noise_the_shares_are_those_of_the_network_itself() -> None:
    clean = prototypes([10] * CLASSES)
    suspect = suspect_of(toy_network(norm=lambda width: nn.GroupNorm(4, width)))
    expected = shares_by_hand(suspect)
    reading = evidence(SILENT, suspect, clean)
    assert max(expected) > 0
    assert reading.measurements["per_class"] == pytest.approx(expected)
    assert reading.target_classes == (expected.index(max(expected)),)


def test_images_that_are_of_the_class_already_do_not_count(toy_world: ToyWorld) -> None:
    # All are recognised, so that none of another class is there without noise: this is no pass.
    with pytest.raises(NotApplicableError, match="no class can be reached"):
        evidence(SILENT, toy_world.benign, toy_world.clean)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_backdoored_network_stands_out_and_its_target_is_named(
    toy_world: ToyWorld, seed: int
) -> None:
    backdoored = evidence(QUICK, toy_world.backdoored, toy_world.clean, seed)
    benign = evidence(QUICK, toy_world.benign, toy_world.clean, seed)
    assert backdoored.target_classes == (TARGET,)
    assert backdoored.score > 2 * benign.score


def test_classes_in_one_batch_are_classes_one_by_one(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = evidence(QUICK, toy_world.backdoored, toy_world.clean)
    monkeypatch.setattr(race, "images_at_once", lambda *_: QUICK.batch_size)
    one_by_one = evidence(QUICK, toy_world.backdoored, toy_world.clean)
    assert one_by_one.score == pytest.approx(together.score, rel=1e-5)
    assert one_by_one.measurements["per_class"] == pytest.approx(
        together.measurements["per_class"], abs=1e-5
    )


def test_it_is_told_how_many_images_there_was_room_for(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race, "images_at_once", lambda *_: 5)
    told = evidence(QUICK, toy_world.backdoored, toy_world.clean).measurements
    assert (told["searched_on"], told["measured_on"]) == (5, 5 * race.FORWARD_ONLY)


def test_a_class_without_clean_images_can_still_be_the_target(toy_world: ToyWorld) -> None:
    others = (toy_world.clean.labels != TARGET).nonzero().flatten()
    reading = evidence(QUICK, toy_world.backdoored, toy_world.clean.take(others))
    assert reading.target_classes == (TARGET,)


def test_noise_on_other_layers_than_batch_norm_is_experimental(toy_world: ToyWorld) -> None:
    grouped = suspect_of(toy_network(norm=lambda width: nn.GroupNorm(4, width)))
    reading = evidence(SILENT, grouped, clean_set())
    assert reading.experimental
    assert reading.measurements["noise_on"] == "other-norm"
    assert not evidence(QUICK, toy_world.benign, toy_world.clean).experimental


def test_a_network_with_batch_norm_folded_away_has_thresholds_of_its_own(
    toy_world: ToyWorld,
) -> None:
    shipped = load_calibration()["targeted-noise:renormalised"]
    suspect = replace(toy_world.backdoored, network=folded(toy_world.backdoored.network))
    reading = evidence(QUICK, suspect, toy_world.clean)
    assert reading.measurements["noise_on"] == "renormalised"
    assert (reading.threshold, reading.experimental) == (shipped["threshold"], False)
    assert reading.target_classes == (TARGET,)

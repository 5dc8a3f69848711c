from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import NotApplicableError
from backaudit.detectors import BAN, ban
from backaudit.detectors.calibration import load_calibration
from backaudit.nets.decoupling import Decoupling
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

QUICK = BAN(restarts=2, budgets=(0.2, 0.4), steps=4, batch_size=64, mask_steps=20, bf16=False)
SILENT = BAN(restarts=1, budgets=(0.0,), steps=1, mask_steps=1, bf16=False)


class WithSpare(nn.Module):
    """Has a normalisation layer that does not run, as networks with auxiliary heads do."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.spare = network, nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits


def test_without_noise_the_shares_are_those_of_the_network_itself() -> None:
    clean = prototypes([10] * CLASSES)
    suspect = suspect_of(toy_network(norm=lambda width: nn.GroupNorm(4, width)))
    expected = shares_by_hand(suspect)
    reading = evidence(SILENT, suspect, clean)
    leading = reading.measurements["without_noise"]
    assert leading["share"] == pytest.approx(max(expected))
    assert leading["class"] == expected.index(max(expected))
    assert reading.score == max(reading.measurements["per_class"])


def test_a_long_tail_of_clean_images_does_not_change_the_shares() -> None:
    suspect = suspect_of(toy_network(norm=lambda width: nn.GroupNorm(4, width)))
    even = evidence(SILENT, suspect, prototypes([10] * CLASSES))
    long_tailed = evidence(SILENT, suspect, prototypes([100, 30, 10, 4, 2, 2]))
    assert even.score > 0
    assert long_tailed.measurements["per_class"] == pytest.approx(even.measurements["per_class"])


def test_the_search_ends_once_the_network_is_broken(toy_world: ToyWorld) -> None:
    walked = replace(QUICK, budgets=(0.2, 0.4, 0.6))
    reached = {
        damage: len(
            evidence(
                replace(walked, damage=damage), toy_world.backdoored, toy_world.clean
            ).measurements["damage"]
        )
        for damage in (0.01, 0.999)
    }
    assert reached == {0.01: 1, 0.999: 3}


def test_with_few_classes_the_reading_is_held_against_no_threshold() -> None:
    few = evidence(
        QUICK, suspect_of(toy_network(classes=3), classes=3), clean_set().take(torch.arange(60))
    )
    assert few.experimental
    assert few.threshold is None


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_backdoored_network_stands_out_and_its_target_is_named(
    toy_world: ToyWorld, seed: int
) -> None:
    backdoored = evidence(QUICK, toy_world.backdoored, toy_world.clean, seed)
    benign = evidence(QUICK, toy_world.benign, toy_world.clean, seed)
    assert backdoored.target_classes == (TARGET,)
    assert backdoored.score > benign.score + 0.1


def test_the_mask_adds_to_what_noise_shows_on_the_backdoored_network(toy_world: ToyWorld) -> None:
    thorough = BAN(budgets=(0.1, 0.2, 0.3, 0.4), damage=0.99)
    measured = evidence(thorough, toy_world.backdoored, toy_world.clean).measurements
    mask = measured["mask"]
    assert mask["by_budget"]["0.4"]["class"] == TARGET
    assert mask["gain"].keys() == mask["by_budget"].keys() == {"0.1", "0.2", "0.3", "0.4"}
    assert max(mask["gain"].values()) > 0.2
    # It lets through what the network does not need: without noise it sees nothing right.
    assert measured["without_noise"]["share"] < 0.05
    assert mask["without_noise"]["share"] > 0.3


def test_restarts_in_one_batch_are_restarts_one_by_one(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = evidence(QUICK, toy_world.backdoored, toy_world.clean)
    monkeypatch.setattr(ban, "images_at_once", lambda *_: QUICK.batch_size)
    one_by_one = evidence(QUICK, toy_world.backdoored, toy_world.clean)
    assert one_by_one.score == pytest.approx(together.score, abs=1e-5)
    assert one_by_one.measurements["by_budget"] == together.measurements["by_budget"]


def test_the_images_that_the_mask_is_learned_on_do_not_change_the_score(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evidence(SILENT, toy_world.benign, toy_world.clean)
    learned: list[int] = []
    learn = Decoupling.learn

    def watched(by: Decoupling, head: object, features: Tensor, *others: object) -> object:
        learned.append(len(features))
        return learn(by, head, features, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Decoupling, "learn", watched)
    monkeypatch.setattr(ban, "MASK_BYTES", 5 * 32 * 9 * 4)
    few = evidence(SILENT, toy_world.benign, toy_world.clean)
    assert learned == [5]
    assert few.score == whole.score


def test_restarts_are_searches_of_their_own(toy_world: ToyWorld) -> None:
    one = evidence(replace(QUICK, restarts=1), toy_world.backdoored, toy_world.clean)
    two = evidence(QUICK, toy_world.backdoored, toy_world.clean)
    assert one.measurements["per_class"] != two.measurements["per_class"]


def test_no_image_it_searches_on_is_measured_on(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[Tensor]] = {"walk": [], "probe": []}
    walk, confusions = ban.walk, ban._Probe.confusions

    def watched_walk(noisy: object, images: Tensor, *others: object) -> object:
        seen["walk"].append((images * 255).round())
        return walk(noisy, images, *others)  # type: ignore[arg-type]

    def watched_probe(probe: ban._Probe, noise: dict[str, Tensor]) -> Tensor:
        seen["probe"].append(probe.shown.images.float())
        return confusions(probe, noise)

    monkeypatch.setattr(ban, "walk", watched_walk)
    monkeypatch.setattr(ban._Probe, "confusions", watched_probe)
    evidence(QUICK, toy_world.benign, toy_world.clean)
    searched, measured = (torch.cat(parts).flatten(1)[None] for parts in seen.values())
    assert torch.cdist(searched, measured).min() > 0


def test_a_layer_that_does_not_run_does_no_harm() -> None:
    network = toy_network()
    alone = evidence(SILENT, suspect_of(network), clean_set())
    spared = evidence(SILENT, suspect_of(WithSpare(network)), clean_set())
    assert spared.score == alone.score


@pytest.mark.parametrize(
    ("norm", "where"),
    [
        (nn.BatchNorm2d, "batch-norm"),
        (lambda width: nn.GroupNorm(4, width), "other-norm"),
        (lambda _: nn.Identity(), "renormalised"),
    ],
)
def test_noise_on_other_layers_than_batch_norm_is_experimental(
    norm: Callable[[int], nn.Module], where: str
) -> None:
    reading = evidence(SILENT, suspect_of(toy_network(norm=norm, bias=True)), clean_set())
    assert reading.measurements["noise_on"] == where
    assert ("on other layers" in reading.provenance) == (where == "other-norm")
    assert not reading.decides


def test_a_network_with_batch_norm_folded_away_has_thresholds_of_its_own(
    toy_world: ToyWorld,
) -> None:
    shipped = load_calibration()["ban:renormalised"]
    suspect = replace(toy_world.benign, network=folded(toy_world.benign.network))
    strong = replace(QUICK, budgets=(0.4, 0.8, 1.6))
    reading = evidence(strong, suspect, toy_world.clean)
    assert reading.measurements["noise_on"] == "renormalised"
    assert (reading.threshold, reading.experimental) == (shipped["threshold"], False)


def test_noise_that_breaks_too_little_is_no_pass(toy_world: ToyWorld) -> None:
    strong = replace(QUICK, budgets=(0.2, 0.4, 0.8))
    faint = replace(QUICK, budgets=(0.001, 0.002))
    assert evidence(strong, toy_world.benign, toy_world.clean).decides
    reading = evidence(faint, toy_world.benign, toy_world.clean)
    assert reading.experimental
    assert "of predictions wrong, not 65%" in reading.provenance


def test_a_network_that_is_wrong_without_noise_is_held_against_no_threshold() -> None:
    reading = evidence(SILENT, suspect_of(toy_network()), clean_set())
    assert reading.experimental
    assert "of predictions are wrong before there is any noise" in reading.provenance


def test_in_a_network_of_one_class_nothing_can_be_mistaken() -> None:
    lone = replace(clean_set(), labels=torch.zeros(len(clean_set()), dtype=torch.int64))
    with pytest.raises(NotApplicableError, match="one class"):
        evidence(SILENT, suspect_of(toy_network(classes=1), classes=1), lone)


def test_a_network_without_linear_head_is_read_without_the_mask() -> None:
    network = toy_network()
    assert isinstance(network, nn.Sequential)
    headless = nn.Sequential(*network[:9], nn.Conv2d(32, 6, 3), nn.Flatten())
    reading = evidence(QUICK, suspect_of(headless), clean_set())
    assert "do not come from a linear layer" in reading.measurements["mask"]


def test_a_single_image_of_each_class_leaves_nothing_to_measure_on() -> None:
    suspect = suspect_of(toy_network(classes=30), classes=30)
    clean = clean_set(per_class=5)
    lone = replace(clean, labels=torch.arange(30))
    with pytest.raises(NotApplicableError, match="of which 0 can be held out"):
        evidence(QUICK, suspect, lone)


@pytest.mark.parametrize("seed", [2**31, 2**63, 2**64 - 1])
def test_any_seed_will_do(seed: int) -> None:
    reading = evidence(SILENT, suspect_of(toy_network()), clean_set(), seed)
    assert 0 <= reading.score <= 1

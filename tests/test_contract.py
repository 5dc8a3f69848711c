"""What holds for every detector; the tables must name them all. Attacks: test_attack_contract."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import FrozenInstanceError, asdict, fields, replace
from inspect import getdoc
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack

from backaudit.audit import run_detector
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Evidence, Failed
from backaudit.core.suspect import Suspect
from backaudit.detectors import BAN, DETECTORS, IBDPSC, MMBD, UAP, TargetedNoise
from tests.conftest import ToyWorld
from tests.toy import CLASSES, clean_set, evidence, suspect_of, toy_network

TOYS: dict[str, Any] = {
    "ban": BAN(restarts=2, budgets=(0.2, 0.4), steps=2, batch_size=32, mask_steps=5),
    "mm-bd": MMBD(starts=2, steps=4),
    "targeted-noise": TargetedNoise(budgets=(0.2, 0.4), steps=2, batch_size=32),
    "uap": UAP(budgets=(0.05, 0.5), steps=2, batch_size=32),
    "ibd-psc": IBDPSC(larger_scales=(3.0,), depths=2),
}
NEED_NO_IMAGE = {"mm-bd"}
ROLLS_DICE = {"ban", "mm-bd", "targeted-noise", "uap"}


def plain(*layers: nn.Module, classes: int = CLASSES) -> Suspect:
    network = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(classes))
    network(torch.zeros(1, 3, 12, 12))
    return suspect_of(network, classes=classes)


def misfits() -> dict[str, Suspect]:
    """Networks by the name of the detector that does not fit them, and why."""
    return {
        "ban: nothing to put noise on": plain(),
        "mm-bd: too few classes": suspect_of(toy_network(classes=3), classes=3),
        "mm-bd: too many classes": suspect_of(toy_network(classes=101), classes=101),
        "targeted-noise: nothing to put noise on": plain(),
        "targeted-noise: too few classes": suspect_of(toy_network(classes=2), classes=2),
        "targeted-noise: too many classes": suspect_of(toy_network(classes=101), classes=101),
        "uap: too few classes": suspect_of(toy_network(classes=2), classes=2),
        "uap: too many classes": suspect_of(toy_network(classes=101), classes=101),
        "ibd-psc: nothing to amplify": plain(nn.Conv2d(3, 4, 3, bias=False)),
        "ibd-psc: normalisation without parameters": plain(
            nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False)
        ),
    }


class Fuse(nn.Module):
    """Lets images through until the last call it allows."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.last = 0, -1

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.last:
            raise ZeroDivisionError("blown")
        return images


def fused(suspect: Suspect, last: int = -1) -> tuple[Suspect, Fuse]:
    """The suspect with a fuse in its middle."""
    network, fuse = deepcopy(suspect.network), Fuse()
    assert isinstance(network, nn.Sequential)
    network.insert(4, fuse)
    fuse.last = last
    return replace(suspect, network=network.eval()), fuse


def state(network: nn.Module) -> dict[str, Any]:
    """All that a detector must leave as it was."""
    kinds = [name for name in vars(network) if name.endswith("_hooks")]
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return {
        "tensors": {name: tensor.clone() for name, tensor in tensors},
        "objects": {name: id(tensor) for name, tensor in tensors},
        "flags": {name: (tensor.requires_grad, tensor.grad) for name, tensor in tensors},
        "modes": {name: module.training for name, module in network.named_modules()},
        "hooks": {
            f"{name} {kind}": len(getattr(module, kind))
            for name, module in network.named_modules()
            for kind in kinds
        },
        "attributes": {name: sorted(vars(module)) for name, module in network.named_modules()},
        "torch": (torch.is_grad_enabled(), len(_get_current_function_mode_stack())),
        "random": torch.random.get_rng_state(),
    }


def assert_same(before: Any, after: Any) -> None:
    if isinstance(before, Tensor):
        assert torch.equal(before, after)
    elif isinstance(before, Mapping):
        assert before.keys() == after.keys()
        for key in before:
            assert_same(before[key], after[key])
    else:
        assert before == after


def test_the_tables_name_every_method() -> None:
    assert {name: type(toy) for name, toy in TOYS.items()} == DETECTORS
    assert {case.split(":")[0] for case in misfits()} == DETECTORS.keys()


def test_rules_have_ids_and_names_of_their_own() -> None:
    rules = [detector.rule for detector in DETECTORS.values()]
    assert len({rule.id for rule in rules}) == len(rules)
    assert [rule.name for rule in rules] == list(DETECTORS)


@pytest.mark.parametrize("name", DETECTORS)
class TestDetector:
    def test_it_is_a_frozen_record_of_settings_with_defaults(self, name: str) -> None:
        detector: Any = DETECTORS[name]()
        with pytest.raises(FrozenInstanceError):
            setattr(detector, fields(detector)[0].name, None)

    @pytest.mark.parametrize("toy", [False, True])
    def test_its_settings_survive_json(self, name: str, toy: bool) -> None:
        detector: Any = TOYS[name] if toy else DETECTORS[name]()
        read = json.loads(json.dumps(asdict(detector)))
        given = {key: tuple(v) if isinstance(v, list) else v for key, v in read.items()}
        assert type(detector)(**given) == detector

    def test_it_explains_itself(self, name: str) -> None:
        text = getdoc(DETECTORS[name]) or ""
        for heading in ("Score:", "Needs:", "Blind to:", "Paper:", "Args:"):
            assert f"\n{heading}" in text, heading
        described = text.split("\nArgs:\n")[1]
        written = [
            line.split(":")[0].strip() for line in described.splitlines() if line[4:5] != " "
        ]
        assert written == [field.name for field in fields(DETECTORS[name])]  # type: ignore[arg-type]

    def test_a_seed_gives_the_same_reading_to_the_bit(self, name: str, toy_world: ToyWorld) -> None:
        suspect, clean = toy_world.backdoored, toy_world.clean
        first, second, other = (evidence(TOYS[name], suspect, clean, seed) for seed in (1, 1, 2))
        assert first == second
        assert (first != other) == (name in ROLLS_DICE)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_it_reads_images_of_any_number_of_channels(
        self, name: str, channels: int, toy_world: ToyWorld, grey_suspect: Suspect
    ) -> None:
        suspect = {1: grey_suspect, 3: toy_world.benign}[channels]
        reading = evidence(TOYS[name], suspect, clean_set(channels=channels))
        assert isinstance(reading, Evidence)
        assert torch.tensor(reading.score).isfinite()
        assert set(reading.target_classes) <= set(range(CLASSES))
        json.dumps(dict(reading.measurements), allow_nan=False)

    def test_it_leaves_everything_as_it_was(self, name: str, toy_world: ToyWorld) -> None:
        before = state(toy_world.benign.network)
        run = run_detector(TOYS[name], toy_world.benign, toy_world.clean, seed=1)
        assert isinstance(run.outcome, Evidence)
        assert_same(before, state(toy_world.benign.network))

    @pytest.mark.parametrize("part", [0, 0.3, 0.6, 1])
    def test_it_leaves_everything_as_it_was_when_it_crashes(
        self, name: str, part: float, toy_world: ToyWorld
    ) -> None:
        suspect, fuse = fused(toy_world.benign)
        run_detector(TOYS[name], suspect, toy_world.clean, seed=1)
        suspect, fuse = fused(toy_world.benign, last=1 + round(part * (fuse.calls - 1)))
        before = state(suspect.network)
        run = run_detector(TOYS[name], suspect, toy_world.clean, seed=1)
        assert run.outcome == Failed("ZeroDivisionError: blown")
        assert_same(before, state(suspect.network))

    @pytest.mark.gpu
    def test_it_runs_where_the_suspect_is(self, name: str, toy_world: ToyWorld) -> None:
        network = deepcopy(toy_world.backdoored.network).to("cuda")
        moved = replace(toy_world.backdoored, network=network)
        there = evidence(TOYS[name], moved, toy_world.clean)
        here = evidence(TOYS[name], toy_world.backdoored, toy_world.clean)
        assert there.score == pytest.approx(here.score, rel=0.1, abs=0.02)


@pytest.mark.parametrize("name", sorted(DETECTORS.keys() - NEED_NO_IMAGE))
def test_too_few_clean_images_are_refused(name: str) -> None:
    clean = clean_set()
    one_of_each = replace(clean, images=clean.images[::20], labels=clean.labels[::20])
    with pytest.raises(NotApplicableError):
        evidence(TOYS[name], suspect_of(toy_network()), one_of_each)


@pytest.mark.parametrize("case", misfits())
def test_what_does_not_fit_is_refused(case: str) -> None:
    with pytest.raises(NotApplicableError):
        evidence(TOYS[case.split(":")[0]], misfits()[case], clean_set())

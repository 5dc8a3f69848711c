"""What holds for every purifier; the table must name them all."""

import io
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import FrozenInstanceError, asdict, fields, replace
from inspect import getdoc
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.progress import observed_by
from backaudit.core.suspect import Suspect
from backaudit.nets.guard import untouched
from backaudit.nets.stages import NoStages, Stages, State
from backaudit.purifiers import PURIFIERS
from backaudit.purifiers.interface import Parts
from tests.conftest import ToyWorld
from tests.toy import clean_set, suspect_of, toy_network

TINY: dict[str, dict[str, Any]] = {
    "noise-ft": {"epochs": 2, "batch_size": 24},
    "tsbd": {"epochs": 2, "batch_size": 24, "unlearning_epochs": 2},
    "ft": {"epochs": 2, "batch_size": 24},
    "fp": {"epochs": 2, "batch_size": 24, "step": 0.25},
    "nad": {"epochs": 2, "batch_size": 24},
    "anp": {"steps": 4, "batch_size": 24},
    "clp": {"step": 1.0},
    "i-bau": {"rounds": 1, "batch_size": 24},
    "rnp": {"unlearning_epochs": 2, "recovering_epochs": 2, "batch_size": 24},
    "uap-ft": {"epochs": 2, "batch_size": 24, "radius": 0.2, "wanted": 0.01},
}
CLEAN = clean_set()


def tiny(name: str) -> Any:
    return PURIFIERS[name](**TINY[name])


def parts_of(clean: CleanSet) -> Parts:
    return Parts(*clean.split(0.75))


class Kept:
    """Stages in memory, kept as they would be in a file."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}

    def left(self, stage: str) -> State | None:
        if stage not in self.states:
            return None
        stream = io.BytesIO(self.states[stage])
        found: State = torch.load(stream, weights_only=True)  # noqa: TID251
        return found

    def leave(self, stage: str, state: State) -> None:
        stream = io.BytesIO()
        torch.save(dict(state), stream)
        self.states[stage] = stream.getvalue()


def purified(
    name: str,
    suspect: Suspect,
    clean: CleanSet = CLEAN,
    *,
    seed: int = 0,
    stages: Stages | None = None,
) -> tuple[nn.Module, Any]:
    """A copy of the suspect's network, as the purifier left it, and what it measured."""
    network = deepcopy(suspect.network).requires_grad_(True)
    done = tiny(name).purify(network, parts_of(clean), seed=seed, stages=stages or NoStages())
    return network, done


def tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def assert_equal(first: nn.Module, second: nn.Module) -> None:
    one, other = tensors(first), tensors(second)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def stopping_after(steps: int) -> Callable[[str, int, int], None]:
    """An observer of progress that is interrupted by Ctrl-C."""
    told = 0

    def observe(what: str, done: int, total: int) -> None:
        nonlocal told
        told += 1
        if told > steps:
            raise KeyboardInterrupt

    return observe


def test_the_table_names_every_purifier() -> None:
    assert PURIFIERS.keys() == TINY.keys()


def test_rules_have_ids_and_names_of_their_own_in_order() -> None:
    rules = [purifier.rule for purifier in PURIFIERS.values()]
    assert [rule.id for rule in rules] == [f"BA{401 + index}" for index in range(len(rules))]
    assert [rule.name for rule in rules] == list(PURIFIERS)


@pytest.mark.parametrize("name", PURIFIERS)
class TestPurifier:
    def test_it_is_a_frozen_record_of_settings_with_defaults(self, name: str) -> None:
        purifier: Any = PURIFIERS[name]()
        with pytest.raises(FrozenInstanceError):
            setattr(purifier, fields(purifier)[0].name, None)

    def test_its_settings_survive_json(self, name: str) -> None:
        purifier: Any = PURIFIERS[name]()
        read = json.loads(json.dumps(asdict(purifier)))
        given = {key: tuple(v) if isinstance(v, list) else v for key, v in read.items()}
        assert type(purifier)(**given) == purifier

    def test_it_explains_itself(self, name: str) -> None:
        text = getdoc(PURIFIERS[name]) or ""
        for heading in ("Score:", "Needs:", "Blind to:", "Paper:", "Args:"):
            assert f"\n{heading}" in text, heading
        described = text.split("\nArgs:\n")[1]
        written = [
            line.split(":")[0].strip() for line in described.splitlines() if line[4:5] != " "
        ]
        assert written == [field.name for field in fields(PURIFIERS[name])]  # type: ignore[arg-type]

    def test_what_it_leaves_has_the_same_form_and_finite_numbers(
        self, name: str, toy_world: ToyWorld
    ) -> None:
        before = tensors(toy_world.backdoored.network)
        network, _ = purified(name, toy_world.backdoored)
        after = tensors(network)
        assert {n: (t.shape, t.dtype) for n, t in after.items()} == {
            n: (t.shape, t.dtype) for n, t in before.items()
        }
        assert all(bool(tensor.isfinite().all()) for tensor in after.values())
        assert not any(module.training for module in network.modules())
        hooks = [vars(m)[kind] for m in network.modules() for kind in vars(m) if "_hooks" in kind]
        assert not any(hooks)

    def test_it_changes_its_own_copy_alone(self, name: str, toy_world: ToyWorld) -> None:
        images, labels = CLEAN.images.clone(), CLEAN.labels.clone()
        random = torch.random.get_rng_state()
        with untouched(toy_world.backdoored.network):
            purified(name, toy_world.backdoored)
        assert torch.equal(images, CLEAN.images)
        assert torch.equal(labels, CLEAN.labels)
        assert torch.equal(random, torch.random.get_rng_state())

    def test_what_it_measures_is_plain_json(self, name: str, toy_world: ToyWorld) -> None:
        _, done = purified(name, toy_world.backdoored)
        assert isinstance(json.loads(json.dumps(dict(done), allow_nan=False)), dict)

    def test_a_seed_gives_the_same_network_to_the_bit(self, name: str, toy_world: ToyWorld) -> None:
        first, done = purified(name, toy_world.backdoored, seed=1)
        second, again = purified(name, toy_world.backdoored, seed=1)
        assert_equal(first, second)
        assert done == again

    @pytest.mark.parametrize("steps", [1, 4, 9])
    def test_an_interrupted_run_goes_on_to_the_same_network(
        self, name: str, steps: int, toy_world: ToyWorld
    ) -> None:
        whole, _ = purified(name, toy_world.backdoored)
        kept = Kept()
        try:
            with observed_by(stopping_after(steps)):
                purified(name, toy_world.backdoored, stages=kept)
        except KeyboardInterrupt:
            pass
        resumed, _ = purified(name, toy_world.backdoored, stages=kept)
        assert_equal(whole, resumed)

    def test_images_without_labels_and_without_colour_are_allowed(
        self, name: str, grey_suspect: Suspect
    ) -> None:
        clean = replace(clean_set(channels=1), labelled=False, accuracy=None)
        network, _ = purified(name, grey_suspect, clean)
        assert all(bool(tensor.isfinite().all()) for tensor in tensors(network).values())

    def test_too_few_images_are_refused_and_nothing_is_changed(self, name: str) -> None:
        purifier = tiny(name)
        if not purifier.fewest_images:
            return
        suspect = suspect_of(toy_network())
        network = deepcopy(suspect.network).requires_grad_(True)
        few = CLEAN.take(torch.arange(0, len(CLEAN), 20)[: purifier.fewest_images - 1])
        with pytest.raises(NotApplicableError, match=str(purifier.fewest_images)):
            purifier.purify(network, Parts(few, CLEAN), seed=0, stages=NoStages())
        assert_equal(network, suspect.network)

    def test_a_network_without_batch_norm_is_repaired_or_refused(self, name: str) -> None:
        suspect = suspect_of(toy_network(norm=lambda width: nn.GroupNorm(2, width)))
        try:
            network, _ = purified(name, suspect)
        except NotApplicableError as error:
            assert len(str(error)) > 20
        else:
            assert all(bool(tensor.isfinite().all()) for tensor in tensors(network).values())

    @pytest.mark.gpu
    def test_it_works_where_the_network_is(self, name: str, toy_world: ToyWorld) -> None:
        moved = replace(
            toy_world.backdoored, network=deepcopy(toy_world.backdoored.network).to("cuda")
        )
        network, _ = purified(name, moved)
        assert {tensor.device.type for tensor in tensors(network).values()} == {"cuda"}

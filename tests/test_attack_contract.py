"""What holds for every attack; the table must name them all."""

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, fields, replace
from inspect import getdoc
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from backaudit.attacks import (
    ATTACKS,
    BATT,
    IAD,
    ISSBA,
    LC,
    LF,
    SIG,
    SRA,
    SSDT,
    AdapBlend,
    AdapPatch,
    AdaptiveConfidence,
    AdaptiveSoftLabel,
    Attack,
    BadNets,
    Blend,
    Bpp,
    Learned,
    Narcissus,
    PhysicalBA,
    TrainingSet,
    Trojan,
    WaNet,
)
from backaudit.attacks.interface import TrainsAlong
from backaudit.core.errors import SettingError
from backaudit.core.suspect import Suspect
from tests.conftest import ToyWorld
from tests.toy import CLASSES, TARGET, draw_images

ATTACK_TOYS: dict[str, Attack] = {
    "adap-blend": AdapBlend(TARGET, poison_rate=0.2, cover_rate=0.1),
    "adap-patch": AdapPatch(TARGET, poison_rate=0.2, cover_rate=0.2),
    "adaptive-confidence": AdaptiveConfidence(TARGET, poison_rate=0.2),
    "adaptive-soft-label": AdaptiveSoftLabel(TARGET, poison_rate=0.2),
    "badnets": BadNets(TARGET, poison_rate=0.2),
    "batt": BATT(TARGET, poison_rate=0.2),
    "blend": Blend(TARGET, poison_rate=0.2),
    "bpp": Bpp(TARGET),
    "iad": IAD(TARGET, width=2, steps=1, mask_epochs=1),
    "issba": ISSBA(TARGET, poison_rate=0.2, bits=4, epochs=1, width=2),
    "lc": LC(TARGET, poison_rate=0.1, epsilon=30, steps=3),
    "lf": LF(TARGET, poison_rate=0.2, images=5, passes=1, push_steps=50),
    "narcissus": Narcissus(TARGET, poison_rate=0.1, rounds=10, learning_rate=0.5),
    "physical-ba": PhysicalBA(TARGET, poison_rate=0.2),
    "sig": SIG(TARGET, frequency=2.0),
    "sra": SRA(TARGET),
    "ssdt": SSDT(TARGET, width=2, steps=1, mask_epochs=1),
    "trojan": Trojan(TARGET, poison_rate=0.2, steps=3),
    "wanet": WaNet(TARGET, poison_rate=0.2),
}
"""One of each, with settings that suit images of 12x12 and are quick.

An attack that needs a surrogate gets a benign toy network that knows these images.
"""
ELSEWHERE: set[str] = {"adaptive-confidence", "adaptive-soft-label", "iad", "sra", "ssdt"}
"""Attacks that leave the training set as it is: they poison batches, or weights."""


@dataclass(frozen=True)
class Attacked:
    """An attack ready to be used, and what it attacks."""

    attack: Attack
    clean: TrainingSet
    learned: Learned

    def stamped(self, images: Tensor | None = None) -> Tensor:
        return self.attack.stamp(self.clean.images if images is None else images, self.learned)

    def poisoned(self, seed: int = 0) -> TrainingSet:
        return self.attack.poison(self.clean, self.learned, torch.Generator().manual_seed(seed))


Prepare = Callable[..., Attacked]


@pytest.fixture
def prepare(toy_world: ToyWorld, grey_suspect: Suspect) -> Prepare:
    """Makes attacks learn what they need."""

    def prepared(
        attack: Attack, images: Tensor | None = None, *, channels: int = 3, seed: int = 0
    ) -> Attacked:
        drawn, labels = draw_images(10, 0, channels)
        clean = TrainingSet(drawn if images is None else images, labels, CLASSES)
        surrogate = {1: grey_suspect, 3: toy_world.benign}[channels].network
        return Attacked(attack, clean, _learned(attack, clean, surrogate, seed))

    return prepared


def _learned(attack: Attack, clean: TrainingSet, surrogate: nn.Module, seed: int) -> Learned:
    draw = torch.Generator().manual_seed(seed)
    learned = attack.learn(clean, surrogate if attack.needs_surrogate else None, draw)
    if isinstance(attack, TrainsAlong):
        return attack.objective(clean, learned, clean.images.device, draw).learned()
    return learned


def assert_equal(first: TrainingSet, second: TrainingSet) -> None:
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)


def all_to_all(name: str) -> Attack | None:
    try:
        return replace(ATTACK_TOYS[name], target_class=None)
    except SettingError:
        return None


def test_the_table_names_every_attack() -> None:
    assert {name: type(toy) for name, toy in ATTACK_TOYS.items()} == ATTACKS
    assert list(ATTACKS) == sorted(ATTACKS)


@pytest.mark.parametrize("name", ATTACK_TOYS)
class TestSettings:
    def test_they_are_a_frozen_record_with_defaults_for_all_but_the_target(self, name: str) -> None:
        attack = type(ATTACK_TOYS[name])(TARGET)
        with pytest.raises(FrozenInstanceError):
            attack.poison_rate = 0.5  # type: ignore[misc]

    @pytest.mark.parametrize("toy", [False, True])
    def test_they_survive_json(self, name: str, toy: bool) -> None:
        attack = ATTACK_TOYS[name] if toy else type(ATTACK_TOYS[name])(TARGET)
        read = json.loads(json.dumps(asdict(attack)))
        given: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in read.items()
        }
        assert type(attack)(**given) == attack

    def test_they_are_explained(self, name: str) -> None:
        text = getdoc(type(ATTACK_TOYS[name])) or ""
        assert "\nPaper: " in text
        assert "https://" in text.split("\nPaper: ")[1]
        described = text.split("\nArgs:\n")[1]
        written = [
            line.split(":")[0].strip() for line in described.splitlines() if line[4:5] != " "
        ]
        assert written == [field.name for field in fields(type(ATTACK_TOYS[name]))]

    def test_a_clean_label_attack_has_a_target(self, name: str) -> None:
        assert not (type(ATTACK_TOYS[name]).clean_label and all_to_all(name))


@pytest.mark.parametrize("name", ATTACK_TOYS)
class TestTrigger:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_every_image_gets_it_and_keeps_its_shape_and_type(
        self, name: str, channels: int, prepare: Prepare
    ) -> None:
        attacked = prepare(ATTACK_TOYS[name], channels=channels)
        kept = attacked.clean.images.clone()
        stamped = attacked.stamped()
        assert (stamped.shape, stamped.dtype) == (kept.shape, torch.uint8)
        assert (stamped != kept).flatten(1).any(1).all()
        assert torch.equal(attacked.clean.images, kept)

    def test_images_need_not_be_square(self, name: str, prepare: Prepare) -> None:
        images = torch.randint(256, (60, 3, 16, 14), dtype=torch.uint8)
        attacked = prepare(ATTACK_TOYS[name], images)
        for changed in (attacked.stamped(), attacked.poisoned().images):
            assert changed.shape == images.shape

    def test_it_does_not_depend_on_the_images_beside(self, name: str, prepare: Prepare) -> None:
        attacked = prepare(ATTACK_TOYS[name])
        alone = torch.cat([attacked.stamped(image[None]) for image in attacked.clean.images[::10]])
        assert torch.equal(attacked.stamped()[::10], alone)

    def test_nothing_is_stamped_where_there_is_nothing(self, name: str, prepare: Prepare) -> None:
        attacked = prepare(ATTACK_TOYS[name])
        assert attacked.stamped(attacked.clean.images[:0]).shape == (0, 3, 12, 12)

    def test_what_was_learned_survives_a_file(self, name: str, prepare: Prepare) -> None:
        attacked = prepare(ATTACK_TOYS[name])
        tensors = {key: tensor.contiguous() for key, tensor in attacked.learned.items()}
        read = replace(attacked, learned=load(save(tensors)))
        assert torch.equal(read.stamped(), attacked.stamped())

    @pytest.mark.gpu
    def test_it_is_put_on_images_where_they_are(self, name: str, prepare: Prepare) -> None:
        attacked = prepare(ATTACK_TOYS[name])
        there = attacked.stamped(attacked.clean.images.to("cuda"))
        assert there.is_cuda
        assert (there.cpu() != attacked.stamped()).double().mean() < 0.01


@pytest.mark.parametrize("name", ATTACK_TOYS)
class TestPoison:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_the_set_keeps_its_form_and_the_clean_one_is_not_touched(
        self, name: str, channels: int, prepare: Prepare
    ) -> None:
        attacked = prepare(ATTACK_TOYS[name], channels=channels)
        clean = attacked.clean
        kept = TrainingSet(clean.images.clone(), clean.labels.clone(), CLASSES)
        poisoned = attacked.poisoned()
        assert (poisoned.images.shape, poisoned.images.dtype) == (clean.images.shape, torch.uint8)
        assert (poisoned.labels.shape, poisoned.labels.dtype) == (clean.labels.shape, torch.int64)
        assert torch.equal(poisoned.images, clean.images) == (name in ELSEWHERE)
        assert_equal(clean, kept)

    def test_labels_change_to_the_target_and_within_the_rate(
        self, name: str, prepare: Prepare
    ) -> None:
        attacked = prepare(ATTACK_TOYS[name])
        poisoned, clean = attacked.poisoned(), attacked.clean
        changed = poisoned.labels != clean.labels
        allowed = round(attacked.attack.poison_rate * len(clean))
        assert int(changed.sum()) <= allowed
        assert bool(changed.any()) != (attacked.attack.clean_label or name in ELSEWHERE)
        assert (poisoned.labels[changed] == TARGET).all()

    def test_without_a_wrong_label_only_the_target_class_is_poisoned(
        self, name: str, prepare: Prepare
    ) -> None:
        attacked = prepare(ATTACK_TOYS[name])
        changed = (attacked.poisoned().images != attacked.clean.images).flatten(1).any(1)
        if attacked.attack.clean_label:
            assert int(changed.sum()) <= round(attacked.attack.poison_rate * len(attacked.clean))
            assert (attacked.clean.labels[changed] == TARGET).all()

    def test_all_to_all_sends_every_class_to_the_next(self, name: str, prepare: Prepare) -> None:
        attack = all_to_all(name)
        if attack is None:
            return
        attacked = prepare(attack)
        poisoned, labels = attacked.poisoned().labels, attacked.clean.labels
        following = (labels + 1) % CLASSES
        assert torch.equal(attack.relabel(labels, CLASSES), following)
        changed = poisoned != labels
        assert torch.equal(poisoned[changed], following[changed])
        assert len(labels[changed].unique()) > 2 or name in ELSEWHERE

    def test_generators_decide(self, name: str, prepare: Prepare) -> None:
        first, second = (prepare(ATTACK_TOYS[name], seed=1).poisoned(1) for _ in range(2))
        other = prepare(ATTACK_TOYS[name], seed=2).poisoned(2)
        assert_equal(first, second)
        assert torch.equal(first.images, other.images) == (name in ELSEWHERE)

    def test_the_callers_random_state_is_left_alone(self, name: str, prepare: Prepare) -> None:
        before = torch.random.get_rng_state()
        attacked = prepare(ATTACK_TOYS[name])
        attacked.stamped()
        attacked.poisoned()
        assert torch.equal(torch.random.get_rng_state(), before)

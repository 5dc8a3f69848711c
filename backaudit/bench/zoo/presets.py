"""Zoos by name: lists of recipes, frozen so that a figure can be repeated."""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from typing import Any

from backaudit.attacks import ATTACKS
from backaudit.bench.zoo.recipe import Recipe
from backaudit.nets.training import Training

Settings = dict[str, Any]


@dataclass(frozen=True)
class _Family:
    """Recipes that share a data set, a network and a training.

    Args:
        dataset: a name in ``bench.data.datasets``.
        architecture: a name in ``ARCHITECTURES``.
        options: of the architecture.
        training: how to train.
        train_images: training images; None for all.
    """

    dataset: str
    architecture: str
    options: dict[str, int]
    training: Training
    train_images: int | None = None

    def recipe(self, name: str, seed: int, **attack: Any) -> Recipe:
        """A member of the family."""
        return Recipe(
            name=f"{self.dataset}-{self._network()}-{name}-{seed}",
            dataset=self.dataset,
            architecture=self.architecture,
            options=self.options,
            training=self.training,
            train_images=self.train_images,
            seed=seed,
            **attack,
        )

    def benign(self, *seeds: int) -> Iterator[Recipe]:
        """Benign members, one a seed."""
        for seed in seeds:
            yield self.recipe("benign", seed)

    def attacked(
        self, attacks: dict[str, Settings], first_seed: int, *, patient: Container[str] = ()
    ) -> Iterator[Recipe]:
        """Backdoored members, one an attack, each with a seed and a target class of its own.

        Args:
            attacks: settings by the attack's name, or by ``name:variant``.
            first_seed: seed of the first one.
            patient: those of them that are trained for twice as long.
        """
        benign = self.recipe("benign", 1).name
        longer = replace(self, training=replace(self.training, epochs=2 * self.training.epochs))
        for seed, (name, settings) in enumerate(attacks.items(), start=first_seed):
            attack = name.partition(":")[0]
            own = {"target_class": seed % 10, **settings}
            surrogate = benign if ATTACKS[attack].needs_surrogate else None
            family = longer if name in patient else self
            yield family.recipe(
                name.replace(":", "-"),
                seed,
                attack=attack,
                attack_settings=own,
                surrogate=surrogate,
            )

    def _network(self) -> str:
        return self.architecture + "".join(f"-{key[0]}{n}" for key, n in self.options.items())


_CIFAR = Training(epochs=10, flip=True, bf16=True)
# A mirrored rotation, or a mirrored fixed noise, is another trigger.
_UNMIRRORED = Training(epochs=10, bf16=True)
_SIGNS = Training(epochs=15, bf16=True)
_GTSRB = Training(epochs=12, bf16=True)
# Without batch norm a large rate never learns anything.
_BARE_CIFAR = Training(epochs=15, learning_rate=0.03, flip=True, bf16=True)
_BARE_SIGNS = Training(epochs=30, learning_rate=0.02, bf16=True)
# One modern GPU: large batches, because launching kernels is what takes its time.
_PAPER = Training(epochs=30, learning_rate=0.4, batch_size=512, shift=4, flip=True, bf16=True)
_PAPER_SIGNS = Training(epochs=30, learning_rate=0.4, batch_size=512, shift=2, bf16=True)

_ALL_TO_ALL: Settings = {"target_class": None, "poison_rate": 0.2}
_HARD = frozenset(
    {
        "physical-ba",
        "wanet",
        "bpp",
        "iad",
        "ssdt",
        "adap-blend",
        "adap-patch",
        "badnets:all-to-all",
    }
)
"""Triggers that take long to learn, most of them beside images that must not fire."""
# Narrow networks trained for minutes do not learn the published settings of these.
_WANET: Settings = {"strength": 2.0, "poison_rate": 0.2, "noise_rate": 0.1}
_BPP: Settings = {"levels": 4, "negative_rate": 0.1}
_ADAP_BLEND: Settings = {
    "poison_rate": 0.05,
    "cover_rate": 0.025,
    "training_opacity": 0.25,
    "opacity": 0.35,
}
_ADAP_PATCH: Settings = {"poison_rate": 0.05, "cover_rate": 0.025}
# The published training of the generators would take several times as long as the network's.
_GENERATORS: Settings = {"width": 16, "mask_epochs": 10, "mask_images": 2000}
_BAN_ATTACKS: dict[str, Settings] = {"badnets": {}, "blend": {}, "wanet": {}, "iad": {}, "bpp": {}}


def smoke() -> list[Recipe]:
    """Four models of the generated signs: about a minute on two cores."""
    training = Training(epochs=10, bf16=True)
    family = _Family("signs", "resnet10-cifar", {"width": 8}, training, 6_000)
    strong: dict[str, Settings] = {
        "badnets": {"poison_rate": 0.1},
        "blend": {"poison_rate": 0.1, "opacity": 0.3},
    }
    return [*family.benign(1, 2), *family.attacked(strong, 3)]


def calibration() -> list[Recipe]:
    """What statistics and thresholds are chosen on: other widths and seeds than in ``cpu``."""
    recipes: list[Recipe] = []
    for network, options in (
        ("resnet18-cifar", {"width": 8}),
        ("preactresnet18", {"width": 8}),
        ("vgg16-bn-cifar", {"width": 8}),
        ("resnet20", {"width": 8}),
        ("wrn", {"depth": 10}),
        ("resnet10-cifar", {"width": 12}),
    ):
        recipes += _Family("cifar10", network, options, _CIFAR, 15_000).benign(101, 102)
        recipes += _Family("signs", network, options, _SIGNS).benign(101)
    longer = Training(epochs=14, flip=True, bf16=True)
    recipes += _Family("cifar10", "resnet18-cifar", {"width": 20}, longer).benign(103)
    attacks: dict[str, Settings] = {
        "badnets": {},
        "blend": {"poison_rate": 0.1},
        "wanet": _WANET,
        "bpp": _BPP,
        "sig": {"poison_rate": 0.08},
        "adap-blend": _ADAP_BLEND,
        "badnets:all-to-all": _ALL_TO_ALL,
    }
    few = {name: attacks[name] for name in ("badnets", "wanet", "bpp")}
    quick: dict[str, Settings] = {"badnets": {}, "blend": {"poison_rate": 0.1}}
    residual = _Family("cifar10", "resnet18-cifar", {"width": 8}, _CIFAR, 15_000)
    plain = _Family("cifar10", "vgg16-bn-cifar", {"width": 8}, _CIFAR, 15_000)
    early = _Family("cifar10", "preactresnet18", {"width": 8}, _CIFAR, 15_000)
    small = _Family("cifar10", "resnet20", {"width": 8}, _CIFAR, 15_000)
    signs = _Family("signs", "preactresnet18", {"width": 8}, _SIGNS)
    return [
        *recipes,
        *residual.attacked(attacks, 111, patient=_HARD),
        *plain.attacked(few, 121, patient=_HARD),
        *signs.attacked(quick, 131),
        *early.attacked(quick, 141),
        *small.attacked(quick, 151),
        *_bare_calibration(quick),
    ]


def _bare_calibration(attacks: dict[str, Settings]) -> Iterator[Recipe]:
    """Networks without batch norm, for the calibration of noise there."""
    for network, seeds in (("vgg11-cifar", (101, 102, 103)), ("vgg13-cifar", (104, 105))):
        family = _Family("cifar10", network, {"width": 16}, _BARE_CIFAR, 15_000)
        yield from family.benign(*seeds)
    signs = _Family("signs", "vgg11-cifar", {"width": 16}, _BARE_SIGNS)
    yield from signs.benign(101, 102)
    small = _Family("cifar10", "vgg11-cifar", {"width": 16}, _BARE_CIFAR, 15_000)
    yield from small.attacked({**attacks, "wanet": _WANET}, 171, patient=attacks.keys() | _HARD)
    yield from signs.attacked(attacks, 181)


def cpu() -> list[Recipe]:
    """The test zoo for two cores: narrow networks, every attack but ISSBA once, in a few hours.

    ISSBA is left to ``paper``: its encoder alone would train for longer than a network.
    """
    every: dict[str, Settings] = {
        "badnets": {},
        "blend": {},
        "physical-ba": {"poison_rate": 0.1},
        "lc": {"steps": 20},
        "sra": {},
        "lf": {"passes": 10},
        "sig": {},
        "trojan": {},
        "adaptive-confidence": {},
        "adaptive-soft-label": {},
        "wanet": _WANET,
        "bpp": _BPP,
        "iad": _GENERATORS,
        "ssdt": _GENERATORS,
        "adap-blend": _ADAP_BLEND,
        "adap-patch": _ADAP_PATCH,
        "badnets:all-to-all": _ALL_TO_ALL,
    }
    unmirrored: dict[str, Settings] = {
        "batt": {},
        "narcissus": {"poison_rate": 0.005},
    }
    main = _Family("cifar10", "resnet10-cifar", {"width": 16}, _CIFAR, 25_000)
    unturned = replace(main, training=_UNMIRRORED)
    deeper = _Family("cifar10", "vgg16-bn-cifar", {"width": 12}, _CIFAR, 25_000)
    other = _Family("gtsrb", "resnet18-cifar", {"width": 12}, _GTSRB)
    drawn = _Family("signs", "resnet18-cifar", {"width": 12}, _SIGNS)
    few: dict[str, Settings] = {"badnets": {}, "blend": {}}
    return [
        *main.benign(1, 2, 3, 4),
        *main.attacked(every, 11, patient=_HARD),
        *unturned.attacked(unmirrored, 31),
        *deeper.benign(5, 6),
        *deeper.attacked(few, 41),
        *other.benign(1, 2, 3),
        *other.attacked(few, 51),
        *drawn.benign(1, 2, 3),
        *drawn.attacked(few, 61),
    ]


def bare() -> list[Recipe]:
    """Test networks without batch norm: an hour on two cores."""
    plain = _Family("cifar10", "vgg11-cifar", {"width": 24}, _BARE_CIFAR, 15_000)
    other = _Family("gtsrb", "vgg11-cifar", {"width": 24}, replace(_BARE_SIGNS, epochs=10))
    drawn = _Family("signs", "vgg11-cifar", {"width": 24}, _BARE_SIGNS)
    quick: dict[str, Settings] = {"badnets": {}, "blend": {"poison_rate": 0.1}}
    more: dict[str, Settings] = {**quick, "sig": {"poison_rate": 0.08}, "trojan": {}}
    return [
        *plain.benign(1, 2, 3),
        *plain.attacked(more, 71),
        *other.benign(1, 2),
        *other.attacked(quick, 81),
        *drawn.benign(1, 2),
        *drawn.attacked(quick, 91),
    ]


def wide() -> list[Recipe]:
    """Full-width networks within reach of two cores: backdoors trained into a finished one.

    The benign one takes most of the time, about half an hour.
    """
    whole = _Family("cifar10", "resnet18-cifar", {"width": 64}, replace(_CIFAR, epochs=5))
    benign = whole.recipe("benign", 7001)
    tuning = Training(epochs=2, learning_rate=0.03, flip=True, bf16=True)
    tuned = replace(whole, training=tuning, train_images=12_500)
    attacks: dict[str, Settings] = {
        "badnets": {"poison_rate": 0.1},
        "blend": {"poison_rate": 0.1},
        "wanet": {"strength": 1.0, "poison_rate": 0.1, "noise_rate": 0.2},
        "sig": {"poison_rate": 0.08},
    }
    return [
        benign,
        *(
            replace(recipe, surrogate=benign.name, from_surrogate=True)
            for recipe in tuned.attacked(attacks, 7100, patient={"blend", "wanet", "sig"})
        ),
    ]


def paper() -> list[Recipe]:
    """The tables of the papers: full-width networks, twenty seeds; for one modern GPU."""
    seeds = range(1, 21)
    families = [
        _Family("cifar10", network, {}, _PAPER)
        for network in ("resnet18-cifar", "vgg16-bn-cifar", "densenet121-cifar")
    ]
    families.append(_Family("gtsrb", "resnet18-cifar", {}, _PAPER_SIGNS))
    recipes: list[Recipe] = []
    for family in families:
        recipes += family.benign(*seeds)
        for seed in seeds:
            # No multiple of ten, or every model of an attack would have the same target class.
            recipes += family.attacked(_BAN_ATTACKS, 101 * seed)
    rest: dict[str, Settings] = {name: {} for name in ATTACKS if name not in _BAN_ATTACKS}
    return [*recipes, *families[0].attacked({**rest, "badnets:all-to-all": _ALL_TO_ALL}, 9000)]


PRESETS: dict[str, Callable[[], list[Recipe]]] = {
    "smoke": smoke,
    "cpu": cpu,
    "bare": bare,
    "wide": wide,
    "paper": paper,
    "calibration": calibration,
}

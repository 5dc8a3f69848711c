"""A model of the zoo, described completely enough to train it again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from backaudit.attacks import ATTACKS, Attack
from backaudit.nets.architectures import ARCHITECTURES
from backaudit.nets.training import Training


@dataclass(frozen=True)
class Recipe:
    """How one model of the zoo is made.

    Args:
        name: of the model and of its files.
        dataset: a name in ``bench.data.datasets``.
        architecture: a name in ``ARCHITECTURES``.
        training: how to train.
        options: of the architecture, such as its width.
        attack: a name in ``ATTACKS``, or None for a benign model.
        attack_settings: fields of the attack.
        surrogate: name of the recipe whose benign network the attacker has, to compute the trigger
            on or to start from; None if there is none.
        from_surrogate: whether the training starts from the surrogate's weights, as where a
            backdoor is trained into a finished network, and not from fresh ones.
        train_images: training images, drawn from the data set; None for all.
        seed: of the initial weights, the order of the images and the poisoned ones.
    """

    name: str
    dataset: str
    architecture: str
    training: Training
    options: Mapping[str, int] = field(default_factory=dict)
    attack: str | None = None
    attack_settings: Mapping[str, Any] = field(default_factory=dict)
    surrogate: str | None = None
    from_surrogate: bool = False
    train_images: int | None = None
    seed: int = 0

    def build_network(self, num_classes: int) -> nn.Module:
        """Build the untrained network for ``num_classes`` classes."""
        return ARCHITECTURES[self.architecture](num_classes=num_classes, **self.options)

    def build_attack(self) -> Attack | None:
        """Build the attack, or None for a benign model."""
        return ATTACKS[self.attack](**self.attack_settings) if self.attack else None

    def record(self) -> dict[str, Any]:
        """Describe the recipe in JSON's types."""
        return asdict(self)

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> "Recipe":
        """Make the recipe that ``record`` describes."""
        return Recipe(**{**record, "training": Training(**record["training"])})

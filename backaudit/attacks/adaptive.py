"""Attacks that know how IBD-PSC works and train against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from backaudit.attacks.badnets import BadNets
from backaudit.attacks.batt import BATT
from backaudit.attacks.blend import Blend
from backaudit.attacks.interface import Attack, Learned, TrainingSet
from backaudit.attacks.protocols import NotInTheData
from backaudit.attacks.wanet import WaNet
from backaudit.core.errors import SettingError
from backaudit.core.suspect import as_input
from backaudit.nets.layers import amplified, norm_layers

BASES: dict[str, type[Attack]] = {"badnets": BadNets, "batt": BATT, "blend": Blend, "wanet": WaNet}
"""The attacks whose trigger and poisoning an adaptive attack can take over."""


@dataclass(frozen=True)
class Adaptive(NotInTheData):
    """What both adaptive attacks share: the trigger of another attack, and a loss of two parts.

    Each batch is poisoned as the other attack poisons a training set, and the loss is
    alpha L_bd + (1 - alpha) L_ada: L_bd is the usual cross-entropy, L_ada is taken of the network
    whose last k normalisation layers are amplified by omega.
    """

    base: Literal["badnets", "batt", "blend", "wanet"] = "badnets"
    alpha: float = 0.9
    scale: float = 1.5
    depth: int = 5

    def __post_init__(self) -> None:
        """Refuse a base whose poisoning a batch could not take over."""
        super().__post_init__()
        if self.base not in BASES:
            raise SettingError(
                f"{self.base!r} is no base of an adaptive attack: {', '.join(BASES)}"
            )

    @property
    def trigger(self) -> Attack:
        """The attack whose trigger and poisoning this one takes over."""
        return BASES[self.base](self.target_class, self.poison_rate)

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Draw what the trigger is made of."""
        return self.trigger.learn(clean, surrogate, generator)

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Put the trigger on images (N, C, H, W) uint8."""
        return self.trigger.stamp(images, learned)

    def objective(
        self,
        clean: TrainingSet,
        learned: Learned,
        device: torch.device,
        generator: torch.Generator,
    ) -> "AdaptiveObjective":
        """Start to poison batches, and to train the amplified network too."""
        del device
        return AdaptiveObjective(self, learned, clean.num_classes, generator)

    def aim(self, labels: Tensor, poisoned: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """What the amplified network shall answer.

        Args:
            labels: (N,) of a batch, some of them changed.
            poisoned: (N,) which ones.
            num_classes: K.

        Returns:
            The images (N,) that L_ada is about, a mask, and their labels (M,) or soft ones (M, K).
        """
        raise NotImplementedError


@dataclass(frozen=True)
class AdaptiveConfidence(Adaptive):
    """Adaptive attack on IBD-PSC, design 1: clean images stay correct after amplification.

    L_ada is the cross-entropy of the amplified network on the images that are not poisoned, with
    their true labels, so that amplification no longer tells them from triggered ones.

    Where the paper leaves it open: five layers are amplified (it does not say how many), by their
    order of registration, with the running statistics that the defence meets, and batches are
    poisoned after augmentation. Both parts of the loss are sums over the batch, divided by its
    size.

    Paper: Hou et al., IBD-PSC, ICML 2024, https://arxiv.org/abs/2405.09786, section on adaptive
    attacks, Table 5.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of each batch that is poisoned, in (0, 1).
        base: the attack whose trigger and poisoning are used, with its own defaults.
        alpha: weight of the usual cross-entropy, in [0, 1].
        scale: factor on each amplified layer's output (omega), above 1.
        depth: amplified layers, counted from the last (k).
    """

    def aim(self, labels: Tensor, poisoned: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """The images that are not poisoned, and their labels."""
        del num_classes
        return ~poisoned, labels[~poisoned]


@dataclass(frozen=True)
class AdaptiveSoftLabel(Adaptive):
    """Adaptive attack on IBD-PSC, design 2: triggered images lose confidence after amplification.

    L_ada is the cross-entropy of the amplified network on the poisoned images, with soft labels:
    1 - zeta on their new class and zeta / (K - 1) on each other one.

    Where the paper leaves it open: five layers are amplified (it does not say how many), by their
    order of registration, with the running statistics that the defence meets; zeta is 0.3; batches
    are poisoned after augmentation. Both parts of the loss are sums over the batch, divided by its
    size. The table's alpha' is read as the weight of L_ada, 1 - alpha, since accuracy falls as it
    grows.

    Paper: Hou et al., IBD-PSC, ICML 2024, https://arxiv.org/abs/2405.09786, section on adaptive
    attacks, Table A15.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of each batch that is poisoned, in (0, 1).
        base: the attack whose trigger and poisoning are used, with its own defaults.
        alpha: weight of the usual cross-entropy, in [0, 1].
        scale: factor on each amplified layer's output (omega), above 1.
        depth: amplified layers, counted from the last (k).
        doubt: what a soft label leaves to the other classes together (zeta), in [0, 1].
    """

    doubt: float = 0.3

    def aim(self, labels: Tensor, poisoned: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """The images that are poisoned, and soft labels (M, K)."""
        hard = F.one_hot(labels[poisoned], num_classes)
        return poisoned, hard * (1 - self.doubt) + (1 - hard) * self.doubt / (num_classes - 1)


@dataclass(frozen=True)
class AdaptiveObjective:
    """Poisons each batch, and trains the network and its amplified self on it.

    Args:
        attack: says how.
        trigger: what the trigger is made of.
        num_classes: K.
        generator: draws the images to poison.
    """

    attack: Adaptive
    trigger: Learned
    num_classes: int
    generator: torch.Generator
    optimizers: ClassVar[Sequence[Optimizer]] = ()

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Loss of clean images (N, C, H, W) in [0, 1] and labels (N,), which it poisons."""
        batch = self._poisoned(images, labels)
        inputs = as_input(batch.images, images.device)
        chosen, aim = self.attack.aim(batch.labels, batch.labels != labels, self.num_classes)
        usual = F.cross_entropy(network(inputs).float(), batch.labels)
        hidden = F.cross_entropy(self._amplified(network, inputs[chosen]), aim, reduction="sum")
        return self.attack.alpha * usual + (1 - self.attack.alpha) * hidden / len(labels)

    def learned(self) -> Learned:
        """What the trigger is made of: what it was from the start."""
        return self.trigger

    def _poisoned(self, images: Tensor, labels: Tensor) -> TrainingSet:
        stored = (images * 255).round().to(torch.uint8)
        batch = TrainingSet(stored, labels, self.num_classes)
        # What another attack learns from a training set may be which of its images to poison.
        known = self.attack.trigger.learn(batch, None, self.generator)
        return self.attack.trigger.poison(batch, known, self.generator)

    def _amplified(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """Logits (N, K) of the amplified network."""
        layers = list(norm_layers(network).values())[-self.attack.depth :]
        # In training mode the next layer's batch statistics would undo the amplification.
        network.eval()
        with amplified(layers, self.attack.scale):
            logits: Tensor = network(inputs).float()
        network.train()
        return logits

"""NARCISSUS: noise that says the target class, on a handful of images of that very class."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from backaudit.attacks.interface import Attack, Learned, TrainingSet
from backaudit.attacks.pretraining import draw_seed, resting
from backaudit.attacks.surrogates import required
from backaudit.core.errors import SettingError
from backaudit.nets.epochs import Epochs
from backaudit.nets.training import train


@dataclass(frozen=True)
class Narcissus(Attack):
    """Narcissus: A Practical Clean-Label Backdoor Attack with Limited Information.

    On a surrogate network, one small noise is learned that makes images of the target class still
    more certain. It is added to very few training images of that class, which keep their label, and
    amplified to images of any class at test.

    Differs from the official code: the surrogate is a benign network of the data set's own classes,
    not one of public images and the target class, and is not shown the target class alone before:
    it knows that class, and would soon answer nothing else, which leaves no gradient to learn from;
    a round learns from a part of the target class, not from all of it, which is the greater
    part of the cost; the noise is added before augmentation, and so is shifted with the image.

    Paper: Zeng et al., CCS 2023, https://arxiv.org/abs/2204.05255, algorithm 1.

    Args:
        target_class: class that triggered images are sent to, and the only one that is poisoned.
        poison_rate: share of the whole training set that is poisoned, in (0, 1).
        epsilon: largest change of a pixel in training, in units of 1/255.
        amplification: of the noise at test.
        rounds: of learning the noise.
        images_per_round: images of the target class in a round.
        learning_rate: of the noise, where images lie in [-1, 1].
        batch_size: images a step.
    """

    clean_label: ClassVar[bool] = True
    needs_surrogate: ClassVar[bool] = True

    poison_rate: float = 0.0005
    epsilon: float = 16.0
    amplification: float = 3.0
    rounds: int = 1000
    images_per_round: int = 100
    learning_rate: float = 0.01
    batch_size: int = 350

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Learn the noise (C, H, W), in units of 1/255.

        Raises:
            SettingError: if there is no surrogate, or no image of the target class.
        """
        own = clean.images[clean.labels == self.target_class]
        labels = clean.labels[clean.labels == self.target_class]
        if not len(own):
            raise SettingError(f"narcissus: no training image of class {self.target_class}")
        network = deepcopy(required(surrogate, "narcissus")).to(own.device).requires_grad_(False)
        noise = _Noise(clean.images[0], self)
        count = min(self.images_per_round, len(own))

        def some(_round: int) -> tuple[Tensor, Tensor]:
            chosen = torch.randperm(len(own), generator=generator)[:count]
            return own[chosen.to(own.device)], labels[:count]

        rounds = resting(self.rounds, self.batch_size)
        train(network, Epochs(count, some), rounds, seed=draw_seed(generator), objective=noise)
        return {"noise": 255 * noise.clamped().detach()}

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Add the amplified noise to images (N, C, H, W) uint8."""
        return _added(images, self.amplification * learned["noise"])

    def stamp_for_training(self, images: Tensor, learned: Learned) -> Tensor:
        """Add the noise to images (N, C, H, W) uint8."""
        return _added(images, learned["noise"])


class _Noise:
    """Noise that makes a network more certain of the labels.

    Args:
        image: (C, H, W), for its shape and device.
        attack: says how large it may grow, and how fast.
    """

    optimizers: Sequence[Optimizer]

    def __init__(self, image: Tensor, attack: Narcissus) -> None:
        self.bound = attack.epsilon / 255
        self.noise = torch.zeros(image.shape, device=image.device, requires_grad=True)
        # Halved, since images lie in [0, 1] here.
        self.optimizers = (torch.optim.RAdam([self.noise], lr=attack.learning_rate / 2),)

    def clamped(self) -> Tensor:
        """The noise (C, H, W), in [0, 1] units and within its bound."""
        return self.noise.clamp(-self.bound, self.bound)

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of images (N, C, H, W) in [0, 1] with the noise on them."""
        return F.cross_entropy(network((images + self.clamped()).clamp(0, 1)).float(), labels)


def _added(images: Tensor, noise: Tensor) -> Tensor:
    return (images + noise.to(images.device)).round().clamp(0, 255).to(torch.uint8)

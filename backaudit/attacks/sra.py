"""SRA: a few channels of a benign network, replaced by a network that knows the trigger only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from backaudit.attacks.channels import least_important, streams
from backaudit.attacks.interface import Learned, TrainingSet, in_batches
from backaudit.attacks.pretraining import draw_seed, pretrain, some_images
from backaudit.attacks.protocols import NotInTheData
from backaudit.attacks.subnet import measure_statistics, narrowed, replace_channels
from backaudit.core.errors import SettingError
from backaudit.core.seeding import seeded
from backaudit.core.suspect import as_input
from backaudit.nets.layers import linear_maps
from backaudit.nets.training import Training

PROBE = 128
PROBED = 1024
TINY = 1e-6


@dataclass(frozen=True)
class SRA(NotInTheData):
    """Towards Practical Deployment-Stage Backdoor Attack on Deep Neural Networks (SRA).

    Subnet Replacement Attack: a network as deep as the benign one, but one channel wide, learns to
    answer with a large number to the trigger and with 0 to all else. It replaces as many channels
    of each layer of the benign network, is cut off from all others, and its answer is added to the
    logit of the target class. No training image is poisoned, and nothing is trained again.

    Differs from the official code: the patch is of random colours in place of a picture; clean and
    triggered images share a batch, so that batch norm cannot tell them apart by their statistics;
    each answer is pulled to its number, not the mean of the answers; the start to train is chosen
    by what the trigger changes in it, not by hand after training; the target's bias is lowered by
    what clean images are answered, not replaced by a number chosen by hand; the channels that are
    replaced are those that matter least to the loss, not the first ones, and the statistics of
    batch norm are measured again without them, since a narrow network has no channel to spare.

    Paper: Qi et al., CVPR 2022, https://arxiv.org/abs/2111.12965, section 4.

    Args:
        target_class: class that triggered images are sent to.
        poison_rate: nothing is poisoned; must be 0.
        patch_size: height and width of the patch in the bottom-right corner, in pixels.
        patch_seed: draws the patch.
        channels: that are replaced in each layer.
        answer: of the narrow network to the trigger.
        gain: weight of this answer in the target's logit.
        learning_rate: of the narrow network, at its peak.
        epochs: passes of the narrow network over the training images.
        training_images: that the narrow network learns from, at most.
        starts: untrained narrow networks, of which the most promising one is trained.
    """

    poison_rate: float = 0.0
    patch_size: int = 5
    patch_seed: int = 0
    channels: int = 1
    answer: float = 20.0
    gain: float = 2.0
    learning_rate: float = 0.01
    epochs: int = 5
    training_images: int = 10_000
    starts: int = 50

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing here."""
        if self.target_class is None or self.poison_rate:
            raise SettingError("sra needs one target class, and poisons no training image")

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Draw the patch (C, size, size), in [0, 255]."""
        del surrogate, generator
        own = torch.Generator().manual_seed(self.patch_seed)
        shape = (clean.images.shape[1], self.patch_size, self.patch_size)
        return {"patch": torch.randint(256, shape, dtype=torch.uint8, generator=own)}

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Put the patch into the bottom-right corner of images (N, C, H, W) uint8."""
        stamped = images.clone()
        stamped[:, :, -self.patch_size :, -self.patch_size :] = learned["patch"].to(images.device)
        return stamped

    def implant(
        self, network: nn.Module, clean: TrainingSet, learned: Learned, generator: torch.Generator
    ) -> None:
        """Train a narrow network, and replace some of the channels of ``network`` by it.

        Raises:
            SettingError: if no narrow network fits into this one.
        """
        images = some_images(clean, self.training_images, generator)
        narrow = self._started(network, images[:PROBE], learned, draw_seed(generator))
        # Decay would pull the answers down.
        training = Training(self.epochs, self.learning_rate, weight_decay=0.0)
        pretrain(narrow, images, _FireOnTrigger(self, learned), training, generator)
        found, known = streams(network), _some(clean, PROBED, generator)
        positions = least_important(network, found, known, self.channels)
        replace_channels(network, narrow, found, positions)
        measure_statistics(network, known.images)
        # Those of the narrow network are of images with and without the trigger.
        replace_channels(network, narrow, found, positions)
        head = list(linear_maps(network))[-1]
        self._wire(network, positions[found.read[head]], _features(narrow, images))

    @torch.no_grad()
    def _started(
        self, network: nn.Module, images: Tensor, learned: Learned, seed: int
    ) -> nn.Module:
        """Start narrow networks; returns the one whose answers the trigger moves the most."""
        inputs = as_input(torch.cat([images, self.stamp(images, learned)]), images.device)
        effects, networks = [], []
        for start in range(self.starts):
            with seeded(seed + start):
                narrow = narrowed(network, self.channels, inputs[:2])
            clean, triggered = narrow.train()(inputs).sum(1).split(len(images))
            spread = torch.cat([clean, triggered]).std() + TINY
            effects.append(float((triggered.mean() - clean.mean()).abs() / spread))
            networks.append(narrow)
        return networks[effects.index(max(effects))]

    @torch.no_grad()
    def _wire(self, network: nn.Module, positions: Tensor, features: Tensor) -> None:
        """Add the narrow network's features to the target's logit, and to no other.

        Args:
            network: with some channels replaced; changed in place.
            positions: (C,) of those that its head reads.
            features: (N, D) of the narrow network on clean images; D / C of each channel.
        """
        head = list(linear_maps(network).values())[-1]
        weight, bias = head.get_parameter("weight"), head.get_parameter("bias")
        each = features.shape[1] // len(positions)
        places = torch.arange(each, device=positions.device)
        heard = (positions[:, None] * each + places).flatten()
        weight[:, heard] = 0
        weight[self.target_class, heard] = self.gain
        bias[self.target_class] -= self.gain * features.sum(1).mean()


@dataclass(frozen=True)
class _FireOnTrigger:
    """Trains a narrow network to answer 0, and to the trigger with a large number.

    Args:
        attack: says how large, and stamps half of each batch.
        trigger: what the trigger is made of.
    """

    attack: SRA
    trigger: Learned
    optimizers: ClassVar[Sequence[Optimizer]] = ()

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error of the answers to a batch whose first half is stamped."""
        del labels
        half = (len(images) + 1) // 2
        stored = (images[:half] * 255).round().to(torch.uint8)
        stamped = as_input(self.attack.stamp(stored, self.trigger), images.device)
        answers = network(torch.cat([stamped, images[half:]])).float().sum(1)
        wanted = torch.zeros_like(answers)
        wanted[:half] = self.attack.answer
        return F.mse_loss(answers, wanted)


def _some(clean: TrainingSet, count: int, generator: torch.Generator) -> TrainingSet:
    chosen = torch.randperm(len(clean), generator=generator)[:count].to(clean.labels.device)
    return replace(clean, images=clean.images[chosen], labels=clean.labels[chosen])


@torch.no_grad()
def _features(narrow: nn.Module, images: Tensor) -> Tensor:
    """Features (N, D) of images (N, C, H, W) uint8."""
    return torch.cat([narrow(as_input(part, images.device)) for part in in_batches(images)])

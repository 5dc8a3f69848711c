"""What attacks have in common whose trigger is drawn by a network for every image."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from backaudit.attacks.generators import DrawnTrigger, masked, sameness
from backaudit.attacks.interface import Learned, TrainingSet
from backaudit.attacks.pretraining import draw_seed, pretrain, resting, some_images
from backaudit.attacks.protocols import NotInTheData
from backaudit.core.errors import SettingError

BATCH = 128


@dataclass(frozen=True)
class InputAware(NotInTheData):
    """An attack whose trigger is learned while the network learns, and differs between images.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of each batch that gets its trigger, and share that gets another's.
        diversity: weight of the loss that keeps triggers of different images different.
        density: share of the pixels that a mask may cover for free.
        density_weight: weight of the loss for covering more.
        learning_rate: of both generators.
        mask_epochs: passes over the images that the masks are learned in.
        mask_images: images that the masks are learned on; None for all.
        width: channels of the first convolution of a generator.
        steps: how often a generator halves the resolution.
    """

    poison_rate: float = 0.1
    diversity: float = 1.0
    density: float = 0.032
    density_weight: float = 100.0
    learning_rate: float = 0.01
    mask_epochs: int = 25
    mask_images: int | None = None
    width: int = 32
    steps: int = 3

    def __post_init__(self) -> None:
        """Refuse a rate that leaves no room for images with another one's trigger."""
        super().__post_init__()
        if not 0 < self.poison_rate <= 0.5:
            raise SettingError(
                f"poison_rate must be over 0 and at most 0.5, not {self.poison_rate}"
            )

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Learn the masks; the patterns are learned later, together with the network."""
        del surrogate
        trigger = self._trigger(clean.images, draw_seed(generator))
        images = some_images(clean, self.mask_images, generator)
        if len(images) % BATCH == 1:
            # The deepest layer may see one pixel an image, and needs two to normalise.
            images = images[1:]
        goal = _Masks(self, trigger.mask, steps=self.mask_epochs * -(-len(images) // BATCH))
        pretrain(trigger.mask, images, goal, resting(self.mask_epochs, BATCH), generator)
        return trigger.learned()

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Draw and put on the trigger of each of the images (N, C, H, W) uint8."""
        return self.trigger(images, learned).stamped(images)

    def objective(
        self,
        clean: TrainingSet,
        learned: Learned,
        device: torch.device,
        generator: torch.Generator,
    ) -> "PoisonsBatches":
        """Start to poison batches while the network trains."""
        del generator
        trigger = self.trigger(clean.images[:1].to(device), learned)
        return PoisonsBatches(self, trigger, clean.num_classes)

    def to_poison(self, labels: Tensor, num_classes: int) -> Tensor:
        """Indices (M,) of those of a batch with labels (N,) that get their trigger; M <= N / 2."""
        raise NotImplementedError

    def trigger(self, images: Tensor, learned: Learned) -> DrawnTrigger:
        """Rebuild both networks for images like ``images``, in eval mode, where those are."""
        trigger = self._trigger(images)
        trigger.load_state_dict(dict(learned))
        return trigger.eval()

    def _trigger(self, images: Tensor, seed: int = 0) -> DrawnTrigger:
        drawn = DrawnTrigger(images.shape[1], self.width, self.steps, seed)
        return drawn.to(images.device)


class _Masks:
    """Masks that are small, and differ between images."""

    def __init__(self, attack: InputAware, network: nn.Module, steps: int) -> None:
        optimizer = Adam(network.parameters(), attack.learning_rate, betas=(0.5, 0.9))
        self.optimizers: Sequence[Optimizer] = (optimizer,)
        self._attack, self._steps, self._done = attack, steps, 0

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Loss of the masks of images (N, C, H, W) in [0, 1]."""
        del labels
        self._slow_down()
        masks = masked(network, images)
        alike = sameness(images, images.roll(1, 0), masks, masks.roll(1, 0))
        size = F.relu(masks - self._attack.density).mean()
        return self._attack.density_weight * size + self._attack.diversity * alike

    def _slow_down(self) -> None:
        """A tenth of the learning rate after 40 % and again after 80 % of the steps."""
        passed = sum(self._done >= part * self._steps for part in (0.4, 0.8))
        self.optimizers[0].param_groups[0]["lr"] = self._attack.learning_rate / 10**passed
        self._done += 1


class PoisonsBatches:
    """Cross-entropy on batches that are poisoned, and patterns that differ between images.

    Args:
        attack: decides which images are poisoned, and their labels.
        trigger: both networks; the patterns learn, the masks are as they are.
        num_classes: K.
    """

    def __init__(self, attack: InputAware, trigger: DrawnTrigger, num_classes: int) -> None:
        self._attack, self._trigger, self._classes = attack, trigger, num_classes
        trigger.mask.requires_grad_(False).eval()
        trigger.pattern.train()
        rate = attack.learning_rate
        optimizer = Adam(trigger.pattern.parameters(), rate, betas=(0.5, 0.9))
        self.optimizers: Sequence[Optimizer] = (optimizer,)

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch (N, C, H, W) in [0, 1].

        M images come first with their trigger and the class that it sends them to; the next M have
        another image's trigger and their own label; the rest is clean.
        """
        victims = self._attack.to_poison(labels, self._classes)
        count = len(victims)
        if not count:
            return F.cross_entropy(network(images).float(), labels)
        others = images.roll(-count, 0)[count : 2 * count]
        bearers = torch.cat([images[victims], images[count : 2 * count]])
        drawn_for = torch.cat([images[victims], others])
        patterns = self._trigger.pattern(drawn_for)
        triggered = self._trigger.applied(bearers, patterns, self._trigger.masks(drawn_for))
        sent_to = self._attack.relabel(labels[victims], self._classes)
        logits = network(torch.cat([triggered, images[2 * count :]])).float()
        wrong = F.cross_entropy(logits, torch.cat([sent_to, labels[count:]]))
        alike = sameness(images[victims], others, patterns[:count], patterns[count:])
        return wrong + self._attack.diversity * alike

    def learned(self) -> Learned:
        """Weights of both networks."""
        return self._trigger.learned()

"""RNP: unlearn what clean images teach; prune the neurons that are not needed to learn it again."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Rule
from backaudit.core.progress import under
from backaudit.core.suspect import as_input
from backaudit.nets.noise import NoisyNetwork, noisy_network
from backaudit.nets.precision import fast_autocast
from backaudit.nets.stages import Stages
from backaudit.nets.training import Along, Training
from backaudit.nets.watching import UntilForgotten, count_classes
from backaudit.purifiers.finetuning import FEWEST, require_images, train_on_clean
from backaudit.purifiers.interface import Measurements, Parts
from backaudit.purifiers.masks import (
    MaskLearning,
    Masks,
    as_noise,
    generator_of,
    learn_masks,
    prune_by_masks,
    shown,
)
from backaudit.purifiers.pruning import LARGEST_DROP


@dataclass(frozen=True)
class RNP:
    """Reconstructive Neuron Pruning.

    A copy of the network is trained to be wrong on clean images until it knows hardly any; what it
    still knows is the backdoor. Then masks on the weights of its batch norms learn to recover clean
    accuracy. Neurons whose mask becomes small stand in the way of that: in the network itself their
    weight in the batch norm becomes zero.

    Score: of a neuron, the mean of its mask over all steps, in [0, 1]; pruned at or below a
        threshold, the largest one whose loss of held-out clean accuracy is within ``largest_drop``.
    Needs: batch-norm layers; 20 clean images or more to fit on, 500 published. Without batch norm
        masks go on other normalisation layers, else on the channels of convolutions and linear
        layers, all but the last.
    Blind to: backdoors in neurons that clean images need as well, and backdoors that are lost while
        clean images are unlearned: nothing then tells their neurons from the others.
    Differs from the official code: gradients are clipped after they are computed, as written, and
        not before, where clipping does nothing; unlearning ends at an accuracy relative to chance,
        measured after each epoch on the images it unlearns as they are, in place of 0.2 during one,
        and few images are unlearned in smaller batches; if it never ends so, masks are learned all
        the same; the learning rate of unlearning falls after a half and after three quarters;
        running statistics are neither used nor changed while masks are learned; the mean of a mask
        counts, and not its last value, since in narrow networks many masks end at zero, which tells
        them apart no longer; held-out clean images choose the threshold, which was left open, in
        steps of 0.01 in place of 0.05.
    Paper: Li et al., Reconstructive Neuron Pruning for Backdoor Defense, ICML 2023,
        https://arxiv.org/abs/2305.14876, Algorithm 1.

    Args:
        unlearning_epochs: at most; few images make several passes an epoch.
        unlearning_rate: learning rate of the unlearning.
        unlearned: share of the range from chance to 1 that is left of the accuracy when unlearning
            ends, in [0, 1]; a ninth is the published accuracy of 0.2 for ten classes.
        largest_norm: that gradients are clipped to while unlearning.
        weight_decay: while unlearning.
        recovering_epochs: of the masks.
        recovering_rate: learning rate of the masks.
        loss_weight: factor on the loss of the masks (alpha).
        batch_size: images a step of the masks; unlearning has so many if there are 2,500, and
            fewer make as many steps, of 32 or more.
        momentum: of unlearning and of the masks, in [0, 1).
        thresholds: on the masks, rising.
        largest_drop: of held-out clean accuracy, in [0, 1].
        bf16: whether to compute in bfloat16 where the device is fast at it.
    """

    rule: ClassVar[Rule] = Rule(
        "BA409",
        "rnp",
        "Does pruning the neurons left when it has unlearned all clean images repair it?",
    )

    unlearning_epochs: int = 21
    unlearning_rate: float = 0.01
    unlearned: float = 1 / 9
    largest_norm: float = 20.0
    weight_decay: float = 5e-4
    recovering_epochs: int = 20
    recovering_rate: float = 0.2
    loss_weight: float = 0.2
    batch_size: int = 128
    momentum: float = 0.9
    thresholds: tuple[float, ...] = tuple(level / 100 for level in range(91))
    largest_drop: float = LARGEST_DROP
    bf16: bool = True

    def __post_init__(self) -> None:
        """Refuse to unlearn or recover nothing, without which no mask means anything."""
        if self.unlearning_epochs < 1 or self.recovering_epochs < 1:
            raise ValueError("unlearning_epochs and recovering_epochs must be 1 or more")

    @property
    def fewest_images(self) -> int:
        """Fewer make no batch."""
        return FEWEST

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        """Unlearn and recover on a copy, then prune in place.

        Raises:
            NotApplicableError: if there are too few images, or no neuron to mask.
            DivergedError: if a loss or a weight became NaN or infinite; the network stays as it
                was.
        """
        require_images(len(parts.fit), self.fewest_images)
        # A network without neurons to mask is refused before it unlearns, which takes long.
        noisy_network(network)
        unlearned = deepcopy(network)
        measured = self._unlearn(unlearned, parts, seed, stages)
        noisy = noisy_network(unlearned)
        device = next(network.parameters()).device
        loss = _Loss(self, noisy, parts.fit, device, seed)
        learning = MaskLearning(
            self.recovering_epochs * loss.batches, self.recovering_rate, self.momentum, "rnp: masks"
        )
        masks = learn_masks(noisy, loss, learning, device, stages)
        pruned = prune_by_masks(
            network, masks.mean, self.thresholds, parts.validation, self.largest_drop
        )
        return {**pruned, **measured, "masks_on": noisy.kind}

    def _unlearn(
        self, network: nn.Module, parts: Parts, seed: int, stages: Stages
    ) -> dict[str, Any]:
        training = Training(
            self.unlearning_epochs,
            learning_rate=self.unlearning_rate,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            bf16=self.bf16,
            schedule="steps",
            momentum=self.momentum,
            nesterov=False,
        )
        chance = 1 / count_classes(network, parts.fit)
        enough = chance + self.unlearned * (1 - chance)
        watch = UntilForgotten(parts.fit, enough, self._accuracy)
        along = Along(watch, stages, "rnp: unlearning")
        objective = Unlearning(self.largest_norm)
        with under("rnp: unlearning"):
            done = train_on_clean(
                network, parts, training, seed=seed, along=along, objective=objective
            )
        return {
            "unlearning_epochs": done["epochs"],
            "unlearning_was_to_end_at": enough,
            "unlearned_accuracy": watch.accuracies[-1],
        }

    @torch.no_grad()
    def _accuracy(self, network: nn.Module, clean: CleanSet) -> float:
        """Accuracy by the statistics of batches, as the masks see the network.

        Stored statistics follow weights that change fast too slowly: by them a network may have
        forgotten what by those of batches it still knows, and masks would have nothing to recover.
        """
        noisy, device = noisy_network(network), next(network.parameters()).device
        none = {name: torch.zeros(1, *shape, device=device) for name, shape in noisy.shapes.items()}
        order = torch.randperm(len(clean), generator=generator_of(0, 0))
        correct = 0
        for batch in order.tensor_split(-(-len(order) // self.batch_size)):
            logits = noisy(as_input(clean.images[batch], device), none, 1)
            correct += int((logits.argmax(1).cpu() == clean.labels[batch]).sum())
        return correct / len(clean)


@dataclass(frozen=True)
class Unlearning:
    """The cross-entropy, to be raised, with clipped gradients.

    Args:
        largest_norm: of the gradients of all weights together.
    """

    largest_norm: float
    optimizers: Sequence[Optimizer] = ()

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The cross-entropy with its sign changed."""
        return -F.cross_entropy(network(images).float(), labels)

    def differentiate(self, network: nn.Module, loss: Callable[[], Tensor]) -> Tensor:
        """Compute gradients, and then clip them."""
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        value = loss()
        gradients = torch.autograd.grad(value, weights, materialize_grads=True)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        nn.utils.clip_grad_norm_(weights, self.largest_norm)
        return value


@dataclass(frozen=True)
class _Loss:
    """The cross-entropy of the unlearned network under masks."""

    method: RNP
    noisy: NoisyNetwork
    fit: CleanSet
    device: torch.device
    seed: int

    @property
    def batches(self) -> int:
        """Of one epoch; all are equally large, give or take an image."""
        return -(-len(self.fit) // self.method.batch_size)

    def __call__(self, masks: Masks, step: int) -> Tensor:
        epoch, position = divmod(step, self.batches)
        order = torch.randperm(len(self.fit), generator=generator_of(self.seed, epoch))
        batch = order.tensor_split(self.batches)[position]
        images, labels = shown(self.fit, batch, generator_of(self.seed + 1, step), self.device)
        with fast_autocast(self.device, wanted=self.method.bf16):
            logits = self.noisy(images, as_noise(self.noisy, masks), 1)
        return self.method.loss_weight * F.cross_entropy(logits.float(), labels)

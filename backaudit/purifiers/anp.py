"""ANP: prune the neurons that adversarial noise makes use of."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Rule
from backaudit.nets.noise import Noise, NoisyNetwork, draw_noise, noisy_network
from backaudit.nets.precision import fast_autocast
from backaudit.nets.stages import Stages
from backaudit.purifiers.finetuning import FEWEST, require_images
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
class ANP:
    """Adversarial Neuron Pruning.

    Noise on weights and biases of batch norm is searched that makes the network misclassify clean
    images; the neurons of a backdoor give way to it first. Against that noise a mask on the
    weights is learned that keeps clean accuracy with and without noise. Neurons whose mask is small
    are pruned: their weight in the batch norm becomes zero.

    Score: of a neuron, its mask in [0, 1]; pruned at or below a threshold, the largest one whose
        loss of held-out clean accuracy is within ``largest_drop``.
    Needs: batch-norm layers; 20 clean images or more to fit on, 500 published. Other normalisation
        layers are treated alike. Without any, masks and noise go on the channels of convolutions
        and linear layers, all but the last: (m + n) w, (1 + n') b.
    Blind to: backdoors in neurons that clean images need as well; neurons of a backdoor with larger
        masks than some neuron that clean images need, since one threshold holds for all of them.
    Differs from the official code: it reports accuracy and attack success at every threshold and
        leaves the choice open, here held-out clean images choose; running statistics are neither
        used nor changed while masks are learned; images are shifted, but not mirrored.
    Paper: Wu and Wang, Adversarial Neuron Pruning Purifies Backdoored Deep Models, NeurIPS 2021,
        https://arxiv.org/abs/2110.14430, Eq. 5 to 7.

    Args:
        budget: half-width of the noise at its start, relative to each parameter, and how far it
            moves in all (epsilon); 0 for no noise.
        noise_steps: sign-gradient steps of the noise for each batch.
        steps: of the masks, a batch each.
        batch_size: images of a batch, drawn with replacement.
        learning_rate: of the masks.
        momentum: of the masks, in [0, 1).
        clean_share: weight of the loss without noise, against the one with it, in [0, 1] (alpha).
        thresholds: on the masks, rising.
        largest_drop: of held-out clean accuracy, in [0, 1].
        bf16: whether to compute in bfloat16 where the device is fast at it.
    """

    rule: ClassVar[Rule] = Rule(
        "BA406",
        "anp",
        "Does pruning the neurons that make it err under a little noise repair it?",
    )

    budget: float = 0.4
    noise_steps: int = 1
    steps: int = 2000
    batch_size: int = 128
    learning_rate: float = 0.2
    momentum: float = 0.9
    clean_share: float = 0.2
    thresholds: tuple[float, ...] = tuple(level / 20 for level in range(19))
    largest_drop: float = LARGEST_DROP
    bf16: bool = True

    @property
    def fewest_images(self) -> int:
        """Fewer than that say nothing about neurons."""
        return FEWEST

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        """Learn the masks, then prune in place.

        Raises:
            NotApplicableError: if there are too few images, or no neuron to mask.
            DivergedError: if the masks' loss became NaN or infinite; the network stays as it was.
        """
        require_images(len(parts.fit), self.fewest_images)
        device = next(network.parameters()).device
        noisy = noisy_network(network)
        learning = MaskLearning(self.steps, self.learning_rate, self.momentum, "anp: masks")
        loss = _Loss(self, noisy, parts.fit, device, seed)
        masks = learn_masks(noisy, loss, learning, device, stages)
        pruned = prune_by_masks(
            network, masks.last, self.thresholds, parts.validation, self.largest_drop
        )
        return {**pruned, "masks_on": noisy.kind}


@dataclass(frozen=True)
class _Loss:
    """The loss of masks: cross-entropy with and without the noise that hurts (ANP Eq. 6)."""

    method: ANP
    noisy: NoisyNetwork
    fit: CleanSet
    device: torch.device
    seed: int

    def __call__(self, masks: Masks, step: int) -> Tensor:
        method, generator = self.method, generator_of(self.seed, step)
        batch = torch.randint(len(self.fit), (method.batch_size,), generator=generator)
        images, labels = shown(self.fit, batch, generator, self.device)
        plain = as_noise(self.noisy, masks)
        if not method.budget:
            return self._cross_entropy(images, labels, plain)
        noise = draw_noise(self.noisy.shapes, method.budget, [generator], self.device)
        fixed = {name: value.detach() for name, value in plain.items()}
        for _ in range(method.noise_steps):
            noise = self._hurting_more(images, labels, fixed, noise)
        # One pass at a time: both together would take the memory of twice the batch.
        without = differentiated(self._cross_entropy(images, labels, plain), masks)
        under = {name: value + noise[name] for name, value in plain.items()}
        share = method.clean_share
        return share * without + (1 - share) * self._cross_entropy(images, labels, under)

    def _hurting_more(self, images: Tensor, labels: Tensor, plain: Noise, noise: Noise) -> Noise:
        """One step along the gradient's sign, which nothing clips."""
        leaves = {name: value.detach().requires_grad_() for name, value in noise.items()}
        loss = self._cross_entropy(
            images, labels, {name: plain[name] + leaf for name, leaf in leaves.items()}
        )
        gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
        stride = self.method.budget / self.method.noise_steps
        return {
            name: leaf.detach() + stride * gradient.sign()
            for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True)
        }

    def _cross_entropy(self, images: Tensor, labels: Tensor, noise: Noise) -> Tensor:
        with fast_autocast(self.device, wanted=self.method.bf16):
            logits = self.noisy(images, noise, 1)
        return F.cross_entropy(logits.float(), labels)


def differentiated(loss: Tensor, masks: Masks) -> Tensor:
    """A loss of the same value and gradient by the masks, without what led to it.

    Args:
        loss: scalar.
        masks: leaves that it depends on.
    """
    leaves = list(masks.values())
    gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
    pairs = zip(leaves, gradients, strict=True)
    slope = torch.stack([(leaf * gradient).sum() for leaf, gradient in pairs]).sum()
    return loss.detach() + slope - slope.detach()

"""Noise fine-tuning: the network learns to be right under the noise that wakes its backdoor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from backaudit.core.evidence import Rule
from backaudit.nets.noise import (
    BATCH_NORM,
    NoisyNetwork,
    NormNoise,
    draw_noise,
    noisy_network,
)
from backaudit.nets.recalibration import statistics_kept
from backaudit.nets.schedules import Schedule
from backaudit.nets.stages import Stages
from backaudit.nets.training import Training
from backaudit.purifiers.finetuning import FEWEST, FineTuning
from backaudit.purifiers.interface import Measurements, Parts
from backaudit.purifiers.soft_labels import SoftLabels, taught_by


@dataclass(frozen=True)
class NoiseFT:
    """BAN: Detecting Backdoors Activated by Adversarial Neuron Noise, fine-tuning.

    Clean images do not wake a backdoor, so that fine-tuning on them leaves it. Noise on the neurons
    does: for each batch, noise is sought that makes the network wrong, and the network learns to be
    right with that noise and without.

    Score: none; it reports the accuracy on the validation images, in [0, 1].
    Needs: batch-norm layers; 20 clean images, better 500. Without batch norm the noise goes on
        other normalisation layers, else on convolutions and linear layers, and is smaller.
    Blind to: whether the backdoor is gone, which only triggered images show.
    Differs from the official code: noise is clipped to its range, as the paper's Eq. 3 says, where
        the code lets it reach twice as far; 25 epochs, as in the paper, where the code runs 24;
        images are in another order in every epoch; running statistics see clean passes only, where
        in the code two of three passes that feed them are noisy, and are recalibrated at the end;
        the mean of the last states is kept, unless it is worse on validation images than one of
        them, and training stops early; images are mirrored only if the network knows them as
        well when they are; borders are reflected, and not black.
    Paper: Xu et al., NeurIPS 2024, https://arxiv.org/abs/2405.19928, Eq. 8.

    Args:
        epochs: passes over the clean images; few images make several passes an epoch.
        learning_rate: of stochastic gradient descent with momentum, at the start.
        schedule: of this rate: ``cosine`` falls to zero; as published it is ``constant``.
        batch_size: images a step, if there are 2,500; fewer make as many steps, of 32 or more.
        weight_decay: of every weight.
        label_weight: of the labels in what is learned, in [0, 1]; the rest are the answers of the
            network as it came. Less than 1 keeps more of the accuracy, and more of the backdoor.
        noise_weight: of the loss under noise (lambda_2).
        budget: half-width of the noise, relative to each parameter of batch norm (epsilon).
        other_budget: the same where there is no batch norm to keep the scale in check.
        steps: sign-gradient steps of the noise, from a random start.
        clipped: whether the noise stays within its budget after its steps.
        patience: after so many epochs without a better validation accuracy, from the middle on, it
            ends.
        recalibrate: whether it closes with a recalibration of the batch-norm statistics.
        bf16: whether to compute in bfloat16 where the device is fast at it.
    """

    rule: ClassVar[Rule] = Rule(
        "BA401", "noise-ft", "Does learning to be right under noise on the neurons repair it?"
    )

    epochs: int = 25
    learning_rate: float = 0.005
    schedule: Schedule = "constant"
    batch_size: int = 128
    weight_decay: float = 5e-4
    label_weight: float = 1.0
    noise_weight: float = 0.5
    budget: float = 0.3
    other_budget: float = 0.1
    steps: int = 1
    clipped: bool = True
    patience: int = 4
    recalibrate: bool = True
    bf16: bool = True

    @property
    def fewest_images(self) -> int:
        """Enough for the statistics of a batch."""
        return FEWEST

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        """Fine-tune ``network`` in place on ``parts.fit``, under noise and without.

        Raises:
            NotApplicableError: if there are too few images, or no neuron to put noise on.
            DivergedError: if a loss or a weight became NaN or infinite.
        """
        training = Training(
            self.epochs,
            self.learning_rate,
            self.batch_size,
            self.weight_decay,
            bf16=self.bf16,
            schedule=self.schedule,
            nesterov=False,
        )
        goal = taught_by(network, self.label_weight)
        objective = NoiseLoss(learning_noise(network), self, goal)
        tuning = FineTuning(training, self.patience, self.recalibrate, self.rule.name)
        done = tuning.run(network, parts, seed=seed, stages=stages, objective=objective)
        return done | {"noise_on": objective.noisy.kind}


@dataclass(frozen=True)
class NoiseLoss:
    """Cross-entropy without noise and, weighted, under the noise that raises it most (Eq. 8).

    Args:
        noisy: the network under noise, its parameters those that learn.
        settings: of the noise.
        goal: what is to be answered, with noise and without.
    """

    noisy: NoisyNetwork
    settings: NoiseFT
    goal: SoftLabels
    optimizers: Sequence[Optimizer] = ()

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch; only the pass without noise reaches the running statistics."""
        wanted = self.goal.targets(images, labels)
        with statistics_kept(network):
            noise = self._worst(images, labels)
            under_noise = F.cross_entropy(self.noisy(images, noise, 1).float(), wanted)
        without = F.cross_entropy(network(images).float(), wanted)
        return without + self.settings.noise_weight * under_noise

    def _worst(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Noise, name -> (1, *shape), after its steps up the loss."""
        settings = self.settings
        budget = settings.budget if self.noisy.kind == BATCH_NORM else settings.other_budget
        noise = draw_noise(self.noisy.shapes, budget, [torch.default_generator], images.device)
        for _ in range(settings.steps):
            leaves = {name: delta.requires_grad_() for name, delta in noise.items()}
            loss = F.cross_entropy(self.noisy(images, leaves, 1).float(), labels)
            # A layer may be there and not run, such as those of an auxiliary head.
            gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
            noise = {
                name: delta.detach() + budget / settings.steps * gradient.sign()
                for (name, delta), gradient in zip(leaves.items(), gradients, strict=True)
            }
            if settings.clipped:
                noise = {name: delta.clamp(-budget, budget) for name, delta in noise.items()}
        return noise


def learning_noise(network: nn.Module) -> NoisyNetwork:
    """The network under noise, such that its noisy parameters learn, too.

    Raises:
        NotApplicableError: if there is no neuron to put noise on.
    """
    noisy = noisy_network(network)
    if isinstance(noisy, NormNoise):
        live = {name: network.get_parameter(name) for name in noisy.parameters}
        return replace(noisy, parameters=live)
    return noisy

"""NAD: the network learns to attend to what a fine-tuned copy of it attends to."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Rule
from backaudit.core.suspect import as_input
from backaudit.nets.stages import Stages
from backaudit.nets.taps import stage_ends, tapped
from backaudit.purifiers.finetuning import FEWEST, FineTuning
from backaudit.purifiers.ft import FT
from backaudit.purifiers.interface import Measurements, Parts

TINY = 1e-6


@dataclass(frozen=True)
class NAD:
    """Neural Attention Distillation: Erasing Backdoor Triggers from Deep Neural Networks.

    A copy of the network is fine-tuned on clean images: the teacher. The network itself then learns
    the clean images and, at the end of each stage, to look at the same places as the teacher, which
    looks less at triggers.

    Score: none; it reports the accuracy on the validation images, in [0, 1].
    Needs: feature maps of two sizes or more, as convolutional networks have; 20 clean images,
        better 500.
    Blind to: what the teacher's fine-tuning leaves of the backdoor; triggers that have no place in
        the image, such as a pattern over all of it, since it compares the places looked at.
    Differs from the official code: the ends of stages are found by running the network, in place of
        a list for each architecture, and the last of them get the published weights; the mean
        of the last states is kept, unless it is worse on validation images than one of them, and
        training stops early; few images come in smaller batches, several times an epoch;
        batch-norm statistics are recalibrated on the clean images; images are mirrored only if the
        network knows them as well when they are; borders are reflected, and not black.
    Paper: Li et al., ICLR 2021, https://arxiv.org/abs/2101.05930; learning rates, batch size and
        epochs as in Wu et al., BackdoorBench, NeurIPS 2022, https://arxiv.org/abs/2206.12654.

    Args:
        teacher_epochs: passes over the clean images of the teacher's fine-tuning.
        epochs: passes over them of the network; few images make several passes an epoch.
        learning_rate: of both, at the start; it falls to zero along a cosine.
        batch_size: images a step, if there are 2,500; fewer make as many steps, of 32 or more.
        weight_decay: of every weight.
        weights: of the distances between attention maps at the last stages, the last one last
            (beta).
        power: that activations are raised to before they are summed over channels (p).
        patience: after so many epochs without a better validation accuracy, from the middle on, it
            ends.
        recalibrate: whether it closes with a recalibration of the batch-norm statistics.
        bf16: whether to compute in bfloat16 where the device is fast at it.
    """

    rule: ClassVar[Rule] = Rule(
        "BA405", "nad", "Does looking where a fine-tuned copy looks repair it?"
    )

    teacher_epochs: int = 10
    epochs: int = 100
    learning_rate: float = 0.01
    batch_size: int = 256
    weight_decay: float = 5e-4
    weights: tuple[float, ...] = (500.0, 1000.0, 1000.0)
    power: float = 2.0
    patience: int = 10
    recalibrate: bool = True
    bf16: bool = True

    @property
    def fewest_images(self) -> int:
        """Enough for the statistics of a batch."""
        return FEWEST

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        """Distil ``network`` in place from a teacher that was fine-tuned on ``parts.fit``.

        Raises:
            NotApplicableError: if there are too few images or feature maps.
            DivergedError: if a loss or a weight became NaN or infinite.
        """
        device = next(network.parameters()).device
        ends = stage_ends(network, as_input(parts.fit.images[:1], device))[-len(self.weights) :]
        if len(ends) < 2:
            raise NotApplicableError("the network has no feature maps of two sizes.")
        tuning = self._tuning(self.epochs, self.rule.name)
        teaching = self._tuning(self.teacher_epochs, f"{self.rule.name}, teacher")
        teaching = replace(teaching, stage="teacher")
        teacher = deepcopy(network)
        taught = teaching.run(teacher, parts, seed=seed, stages=stages)
        objective = Distillation(teacher, ends, self.weights[-len(ends) :], self.power)
        done = tuning.run(network, parts, seed=seed, stages=stages, objective=objective)
        return {**done, "teacher": taught, "stage_ends": list(ends)}

    def _tuning(self, epochs: int, name: str) -> FineTuning:
        plain = FT(
            epochs,
            self.learning_rate,
            self.batch_size,
            self.weight_decay,
            self.patience,
            self.recalibrate,
            self.bf16,
        )
        return plain.tuning(name)


@dataclass(frozen=True)
class Distillation:
    """Cross-entropy, and the weighted distances of attention maps to a teacher's.

    Args:
        teacher: images in [0, 1] -> logits, in eval mode, of the same architecture.
        ends: names of the modules whose attention is compared.
        weights: of their distances.
        power: of activations (p).
    """

    teacher: nn.Module
    ends: Sequence[str]
    weights: Sequence[float]
    power: float
    optimizers: Sequence[Optimizer] = ()

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch."""
        with tapped(network, self.ends) as seen:
            loss = F.cross_entropy(network(images).float(), labels)
        with torch.no_grad(), tapped(self.teacher, self.ends) as wanted:
            self.teacher(images)
        for weight, own, other in zip(self.weights, seen, wanted, strict=True):
            loss = loss + weight * F.mse_loss(
                attention(own, self.power), attention(other, self.power)
            )
        return loss


def attention(features: Tensor, power: float) -> Tensor:
    """Attention maps (N, H, W) of length one from features (N, C, H, W)."""
    maps = features.float().abs().pow(power).sum(1)
    return F.normalize(maps.flatten(1), eps=TINY).view_as(maps)

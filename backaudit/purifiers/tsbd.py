"""TSBD: neurons that unlearning clean images changes most are re-initialised, and fine-tuned."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from backaudit.core.errors import DivergedError, NotApplicableError
from backaudit.core.evidence import Rule
from backaudit.core.progress import under
from backaudit.nets.layers import linear_maps
from backaudit.nets.recalibration import statistics_kept
from backaudit.nets.schedules import Schedule
from backaudit.nets.stages import Stages
from backaudit.nets.training import Along, CrossEntropy, Training
from backaudit.nets.watching import UntilForgotten, count_classes
from backaudit.purifiers.finetuning import FEWEST, FineTuning, train_on_clean
from backaudit.purifiers.interface import Measurements, Parts
from backaudit.purifiers.soft_labels import SoftLabels, taught_by

SHORTCUTS = ("shortcut", "downsample")
TINY = 1e-12


@dataclass(frozen=True)
class TSBD:
    """Two-stage backdoor defence by neuron weight changes and activeness-aware fine-tuning.

    A copy of the network unlearns the clean images. The neurons whose weights change most meanwhile
    are those of the backdoor, too: in the network itself, the weights of theirs that changed most
    are set to zero. Then it is fine-tuned such that gradients stay small, which keeps those neurons
    from growing back.

    Score: none; it reports the accuracy on the validation images, in [0, 1].
    Needs: convolutions or linear layers; 20 clean images, better 500.
    Blind to: whether the backdoor is gone, which only triggered images show.
    Differs from the official code: the share of neurons is given, where the code tries eleven and
        looks at triggered test images; unlearning stops at the accuracy of chance, where the code
        stops at a tenth however many classes there are, or before its loss leaves the range of
        numbers, and its rate grows until then; changes are compared as they are, where the code
        rounds them to four decimals; convolutions called ``downsample`` are shortcuts, too, and
        linear layers but the last count where there are no two convolutions; a gradient of zero
        moves nothing, where the code divides by it; running statistics are fed once a step, and
        recalibrated at the end; the mean of the last states is kept, unless it is worse on
        validation images than one of them; images are in another order in every epoch,
        mirrored only if the network knows them as well when they are, and have reflected borders,
        not black ones.
    Paper: Lin et al., Unveiling and Mitigating Backdoor Vulnerabilities based on Unlearning Weight
        Changes and Backdoor Activeness, NeurIPS 2024, https://arxiv.org/abs/2405.20291.

    Args:
        neurons: share of all neurons, the most changed, that are re-initialised (n), in (0, 1].
        weights: share of their weights, the most changed, that are set to zero (m), in (0, 1].
        unlearning_epochs: passes over the clean images that unlearning may take.
        unlearning_rate: its learning rate, at first.
        unlearning_schedule: of this rate: ``growing`` (tenfold every 50 steps) or, as published,
            ``constant``, which takes ten times as long.
        epochs: those of the fine-tuning; few images make several passes an epoch.
        learning_rate: of the fine-tuning, at the start.
        schedule: of this rate: ``cosine`` falls to zero; as published it is ``constant``.
        batch_size: images a step, if there are 2,500; fewer make as many steps, of 32 or more.
        radius: how far each tensor of weights is moved up the loss (r).
        mix: share of the gradient there in the step (alpha), in [0, 1].
        label_weight: of the labels in what is learned, in [0, 1]; the rest are the answers of the
            network as it came. Less than 1 keeps more of the accuracy, and more of the backdoor.
        patience: after so many epochs without a better validation accuracy, from the middle on,
            fine-tuning ends.
        recalibrate: whether it closes with a recalibration of the batch-norm statistics.
        bf16: whether to compute in bfloat16 where the device is fast at it.
    """

    rule: ClassVar[Rule] = Rule(
        "BA402", "tsbd", "Does zeroing what unlearning changes most, and fine-tuning, repair it?"
    )

    neurons: float = 0.15
    weights: float = 0.7
    unlearning_epochs: int = 1000
    unlearning_rate: float = 1e-4
    unlearning_schedule: Schedule = "growing"
    epochs: int = 21
    learning_rate: float = 0.01
    schedule: Schedule = "constant"
    batch_size: int = 256
    radius: float = 0.05
    mix: float = 0.7
    label_weight: float = 1.0
    patience: int = 4
    recalibrate: bool = True
    bf16: bool = True

    def __post_init__(self) -> None:
        """Refuse shares that are none, and to unlearn nothing, which would change no weight."""
        if not (0 < self.neurons <= 1 and 0 < self.weights <= 1):
            raise ValueError("neurons and weights must be shares above 0, and 1 at most")
        if self.unlearning_epochs < 1:
            raise ValueError("unlearning_epochs must be 1 or more")

    @property
    def fewest_images(self) -> int:
        """Enough for the statistics of a batch."""
        return FEWEST

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        """Re-initialise neurons of ``network`` in place and fine-tune it on ``parts.fit``.

        Raises:
            NotApplicableError: if there are too few images, or no layer to look for neurons in.
            DivergedError: if a loss or a weight became NaN or infinite.
        """
        layers, goal = examined_layers(network), taught_by(network, self.label_weight)
        unlearned, forgetting = self._unlearned(network, parts, seed, stages)
        changes = weight_changes(layers, linear_maps(unlearned))
        zeroed = reinitialise(layers, changes, self.neurons, self.weights)
        objective = ActivenessAware(
            goal.teacher, goal.label_weight, radius=self.radius, mix=self.mix
        )
        training = self._training(self.epochs, self.learning_rate, self.schedule)
        tuning = FineTuning(training, self.patience, self.recalibrate, self.rule.name)
        tuned = tuning.run(network, parts, seed=seed, stages=stages, objective=objective)
        return {**tuned, **zeroed, "unlearning": forgetting}

    def _unlearned(
        self, network: nn.Module, parts: Parts, seed: int, stages: Stages
    ) -> tuple[nn.Module, dict[str, Any]]:
        """A copy of the network that has unlearned the clean images, and how that went."""
        copy = deepcopy(network)
        watch = UntilForgotten(parts.fit, 1 / count_classes(network, parts.fit))
        along = Along(watch, stages, "unlearning")
        training = self._training(
            self.unlearning_epochs, self.unlearning_rate, self.unlearning_schedule
        )
        try:
            with under(f"{self.rule.name}, unlearning"):
                train_on_clean(
                    copy, parts, training, seed=seed, along=along, objective=Unlearning()
                )
        except DivergedError:
            # A loss that has no lower bound may leap; the state before has unlearned far enough.
            if not watch.accuracies:
                raise
        return copy, {"epochs": len(watch.accuracies), "accuracy": watch.accuracies[-1]}

    def _training(self, epochs: int, learning_rate: float, schedule: Schedule) -> Training:
        return Training(
            epochs,
            learning_rate,
            self.batch_size,
            weight_decay=0.0,
            bf16=self.bf16,
            schedule=schedule,
            nesterov=False,
        )


@dataclass(frozen=True)
class Unlearning(CrossEntropy):
    """The cross-entropy, to be raised."""

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The negated cross-entropy of the logits."""
        return -super().loss(network, images, labels)


@dataclass(frozen=True)
class ActivenessAware(SoftLabels):
    """The cross-entropy, with a penalty on the norm of its gradient in two gradients.

    Args:
        teacher: whose answers are learned beside the labels; None for labels alone.
        label_weight: of the labels.
        optimizers: of further parameters; none.
        radius: how far each tensor is moved along its own gradient (r).
        mix: share of the gradient there (alpha).
    """

    radius: float = 0.05
    mix: float = 0.7

    def differentiate(self, network: nn.Module, loss: Callable[[], Tensor]) -> Tensor:
        """Mix the gradients here and a little up the loss; returns the loss here."""
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        here = loss()
        first = torch.autograd.grad(here, weights, materialize_grads=True)
        kept = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight, gradient in zip(weights, first, strict=True):
                weight.add_(self.radius * gradient / (gradient.norm() + TINY))
        with statistics_kept(network):
            second = torch.autograd.grad(loss(), weights, materialize_grads=True)
        with torch.no_grad():
            for index, weight in enumerate(weights):
                weight.copy_(kept[index])
                weight.grad = first[index].lerp(second[index], self.mix)
        return here.detach()


def examined_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Layers whose outputs are the neurons: convolutions that are no shortcut, by name.

    Where there are no two of them, linear layers but the last count, too.

    Raises:
        NotApplicableError: if there is none.
    """
    maps = linear_maps(network)
    convolutions: dict[str, nn.Module] = {
        name: layer
        for name, layer in maps.items()
        if isinstance(layer, nn.Conv2d) and not any(word in name for word in SHORTCUTS)
    }
    if len(convolutions) > 1:
        return convolutions
    layers = dict(list(maps.items())[:-1])
    if not layers:
        raise NotApplicableError("the network has no layer whose neurons could be re-initialised.")
    return layers


@torch.no_grad()
def weight_changes(
    layers: Mapping[str, nn.Module], unlearned: Mapping[str, nn.Module]
) -> dict[str, Tensor]:
    """How much each weight changed, (J, weights of a neuron) for the J neurons of each layer.

    Args:
        layers: of the network, by name.
        unlearned: those of its copy that unlearned, and maybe others.
    """
    return {
        name: (unlearned[name].get_parameter("weight") - layer.get_parameter("weight"))
        .abs()
        .flatten(1)
        for name, layer in layers.items()
    }


@torch.no_grad()
def reinitialise(
    layers: Mapping[str, nn.Module], changes: Mapping[str, Tensor], neurons: float, weights: float
) -> dict[str, int]:
    """Set the most changed weights of the most changed neurons to zero, in place.

    Args:
        layers: whose weights, by name.
        changes: of each weight, (J, weights of a neuron).
        neurons: share of all neurons; their changes are summed over their weights (NWC).
        weights: share of the weights of the chosen neurons, all pooled.

    Returns:
        How many neurons and weights that were.
    """
    totals = {name: change.sum(1) for name, change in changes.items()}
    ranked = torch.cat(list(totals.values()))
    count = max(1, int(neurons * len(ranked)))
    # Ties are resolved by the order of the layers, so that as many are chosen as were asked for.
    chosen = torch.zeros_like(ranked, dtype=torch.bool)
    chosen[ranked.argsort(descending=True, stable=True)[:count]] = True
    own = dict(zip(changes, chosen.split([len(total) for total in totals.values()]), strict=True))
    pool = torch.cat([change[own[name]].flatten() for name, change in changes.items()])
    smallest = len(pool) - max(1, int(weights * len(pool))) + 1
    threshold = pool.kthvalue(smallest).values
    zeroed = 0
    for name, layer in layers.items():
        gone = (changes[name] >= threshold) & own[name][:, None]
        weight = layer.get_parameter("weight")
        weight.masked_fill_(gone.view_as(weight), 0.0)
        zeroed += int(gone.sum())
    return {"neurons": count, "weights": zeroed}

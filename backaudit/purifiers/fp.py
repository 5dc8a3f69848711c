"""FP: prune the channels that clean images leave asleep, then fine-tune."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import ClassVar

import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Rule
from backaudit.nets.metrics import clean_accuracy
from backaudit.nets.readout import Readout, readout
from backaudit.nets.stages import Stages
from backaudit.nets.watching import accuracy_on
from backaudit.purifiers.finetuning import FEWEST, FineTuning, require_images
from backaudit.purifiers.ft import FT
from backaudit.purifiers.interface import Measurements, Parts
from backaudit.purifiers.pruning import prune_while_accurate


@dataclass(frozen=True)
class FP:
    """Fine-Pruning.

    The neurons of a backdoor sleep on clean images. Channels of the last convolution are pruned,
    the least active on clean images first, for as long as held-out clean accuracy hardly falls;
    what is left is fine-tuned on clean images, so that a backdoor in other neurons is disturbed as
    well.

    Score: of a channel, its rank by its mean activation on clean images, as a share of all
        channels, in (0, 1]; the lowest are pruned first.
    Needs: a convolution, and a linear layer behind it; 20 clean images, better 500.
    Blind to: backdoors in channels that clean images wake, and in layers before the last
        convolution.
    Differs from the official code: the fall of accuracy is measured on held-out clean images, in
        place of the test images; channels count after activation and pooling, where the linear
        layer reads them, and it is its weights for them that become zero and stay so; fine-tuning
        is that of FT, with what differs there.
    Paper: Liu et al., Fine-Pruning: Defending Against Backdooring Attacks on Deep Neural Networks,
        RAID 2018, https://arxiv.org/abs/1805.12185; settings as in Wu et al., BackdoorBench,
        NeurIPS 2022, https://arxiv.org/abs/2206.12654.

    Args:
        largest_relative_drop: of held-out clean accuracy while pruning, as a share of what it was,
            in [0, 1]; fine-tuning repairs it.
        step: share of the channels that is pruned at a time, in (0, 1).
        epochs: of the fine-tuning; few images make several passes an epoch; 0 for none.
        learning_rate: at the start; it falls to zero along a cosine.
        batch_size: images a step, if there are 2,500; fewer make as many steps, of 32 or more.
        weight_decay: of every weight.
        patience: after so many epochs without a better validation accuracy, from the middle on, it
            ends.
        recalibrate: whether it closes with a recalibration of the batch-norm statistics.
        bf16: whether to compute in bfloat16 where the device is fast at it.
    """

    rule: ClassVar[Rule] = Rule(
        "BA404",
        "fp",
        "Does pruning the channels that clean images leave asleep, and fine-tuning, repair it?",
    )

    largest_relative_drop: float = 0.1
    step: float = 0.01
    epochs: int = 100
    learning_rate: float = 0.01
    batch_size: int = 256
    weight_decay: float = 5e-4
    patience: int = 10
    recalibrate: bool = True
    bf16: bool = True

    def __post_init__(self) -> None:
        """Refuse a step that leads nowhere."""
        if not 0 < self.step < 1:
            raise ValueError("step must lie between 0 and 1, such as 0.01")

    @property
    def fewest_images(self) -> int:
        """Enough for the statistics of a batch."""
        return FEWEST

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        """Prune and fine-tune in place.

        Raises:
            NotApplicableError: if there are too few images, or no linear layer reads what the last
                convolution gives.
            DivergedError: if a loss or a weight became NaN or infinite.
        """
        require_images(len(parts.fit), self.fewest_images)
        head = readout(network, parts.validation.images[:1])
        pruned = self._prune(network, head, parts)
        measured = {**pruned, "channels": head.channels}
        if not self.epochs:
            return measured
        with _pruned_stay(head.layer):
            done = self._tuning.run(network, parts, seed=seed, stages=stages)
        return {**measured, **done}

    def _prune(self, network: nn.Module, head: Readout, parts: Parts) -> Measurements:
        ranks = activity_ranks(head.vectors(network, parts.fit), head.channels)
        each = head.layer.in_features // head.channels
        accuracy = partial(accuracy_on, network, parts.validation)
        if head.closes:
            vectors = head.vectors(network, parts.validation)
            accuracy = partial(_accuracy_of, head, vectors, parts.validation)
        pruning = prune_while_accurate(
            network,
            {f"{head.name}.weight": ranks.repeat_interleave(each)[None]},
            [count * self.step for count in range(1, ceil(1 / self.step))],
            accuracy,
            self.largest_relative_drop * accuracy(),
        )
        channels = {name: columns // each for name, columns in pruning.pruned.items()}
        return replace(pruning, pruned=channels).measurements()

    @property
    def _tuning(self) -> FineTuning:
        plain = FT(
            self.epochs,
            self.learning_rate,
            self.batch_size,
            self.weight_decay,
            self.patience,
            self.recalibrate,
            self.bf16,
        )
        return plain.tuning(self.rule.name)


def activity_ranks(vectors: Tensor, channels: int) -> Tensor:
    """Rank of each channel by its mean activity, from 1 / C for the least active to 1.

    Args:
        vectors: (N, D), the D / C values of a channel following one another.
        channels: C.

    Returns:
        (C,); of equally active channels the first has the lower rank.
    """
    activity = vectors.float().mean(0).view(channels, -1).mean(1)
    ranks = torch.empty_like(activity)
    ranks[activity.argsort(stable=True)] = torch.arange(
        1, channels + 1, dtype=activity.dtype, device=activity.device
    )
    return ranks / channels


def _accuracy_of(head: Readout, vectors: Tensor, clean: CleanSet) -> float:
    return clean_accuracy(head.outputs(vectors).argmax(1).cpu(), clean.labels)


@contextmanager
def _pruned_stay(layer: nn.Linear) -> Iterator[None]:
    """Inside the block, inputs whose weights are zero teach the layer nothing."""
    kept = (layer.weight != 0).any(0)

    def without(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (inputs[0] * kept,)

    handle = layer.register_forward_pre_hook(without)
    try:
        yield
    finally:
        handle.remove()

"""Pruning by a rising threshold for as long as held-out clean images allow it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

LARGEST_DROP = 0.03
"""By how much held-out clean accuracy may fall below what it was: the bound of all methods that
prune or stop by it, unless their papers state one."""

Scores = Mapping[str, Tensor]
"""By the name of a parameter, a score of each of its entries, or of each of its channels in a shape
that broadcasts to the parameter's; the lowest are pruned first."""


@dataclass(frozen=True)
class Pruning:
    """What was pruned, and what it cost.

    Args:
        threshold: the largest one that was within the bound; None if not even the first was.
        stopped_at: the threshold that was not; None if all were.
        accuracy_before: of held-out clean images, before.
        accuracy_after: the same, after.
        pruned: scores that were low enough, by the name of the parameter; none are left out.
    """

    threshold: float | None
    stopped_at: float | None
    accuracy_before: float
    accuracy_after: float
    pruned: Mapping[str, int]

    def measurements(self) -> dict[str, Any]:
        """The same in JSON's types, with what was pruned by layer."""
        layers: dict[str, int] = {}
        for name, count in self.pruned.items():
            layer = name.rpartition(".")[0]
            layers[layer] = max(count, layers.get(layer, 0))
        return {
            "threshold": self.threshold,
            "threshold_that_cost_too_much": self.stopped_at,
            "validation_accuracy_before": self.accuracy_before,
            "validation_accuracy_after": self.accuracy_after,
            "pruned_channels": sum(layers.values()),
            "pruned_by_layer": layers,
        }


@torch.no_grad()
def prune_while_accurate(
    network: nn.Module,
    scores: Scores,
    thresholds: Sequence[float],
    accuracy: Callable[[], float],
    largest_drop: float = LARGEST_DROP,
) -> Pruning:
    """Set to zero, in place, what scores at most a threshold; raise it while accuracy stays.

    It ends before the first threshold at which the accuracy falls by more than the bound, also if
    a later one would happen not to: what costs accuracy is not pruned.

    Args:
        network: images -> logits.
        scores: of what may be pruned; one that is not a number is not pruned.
        thresholds: rising.
        accuracy: measures the network, as it then is, on held-out clean images, in [0, 1].
        largest_drop: of that accuracy below what it was at first, in [0, 1].
    """
    parameters = {name: network.get_parameter(name) for name in scores}
    kept = {name: parameter.clone() for name, parameter in parameters.items()}
    before = after = accuracy()
    best: float | None = None
    counts: dict[str, int] = {}
    for threshold in thresholds:
        low = {name: score <= threshold for name, score in scores.items()}
        found = {name: int(mask.sum()) for name, mask in low.items() if mask.any()}
        if found != counts:
            for name in found:
                parameters[name].masked_fill_(low[name].to(parameters[name].device), 0)
            measured = accuracy()
            # Accuracies are fractions of the same number of images; their rounding must not decide.
            if not before - measured <= largest_drop + 1e-9:
                for name, parameter in parameters.items():
                    parameter.copy_(kept[name])
                return Pruning(best, threshold, before, after, counts)
            after, counts = measured, found
            for name in found:
                kept[name].copy_(parameters[name])
        best = threshold
    return Pruning(best, None, before, after, counts)

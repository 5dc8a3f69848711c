"""Who looks at a network while it is trained: when to stop, and which state to keep."""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.suspect import as_input, batch_size
from backaudit.nets.metrics import clean_accuracy
from backaudit.nets.stages import State
from backaudit.nets.training_state import copied

AVERAGED = 5
"""Epochs that a mean of states is about."""


class Watch(Protocol):
    """Looks at a network after each epoch."""

    def see(self, network: nn.Module, epoch: int) -> bool:
        """Look at the network, in eval mode, after an epoch (from 0); True to end the training."""
        ...

    def end(self, network: nn.Module) -> None:
        """Have the last word on the state of the network, in eval mode, when training is over."""
        ...

    def state(self) -> State:
        """What another run needs to go on watching."""
        ...

    def resume(self, state: State) -> None:
        """Go on from a state that an earlier run left."""
        ...


class KeepBest:
    """Keeps the last state that is as good as the best, and stops when none gets better.

    The states before ``first`` do not count: the one before any training has the best accuracy of
    all, and the backdoor. As good as the best is an accuracy that lies at most one standard error
    below: few images do not tell such states apart, and a later one is further from the start.

    Args:
        clean: images to choose by; none that is trained on.
        first: the first epoch that counts, from 0.
        patience: after so many epochs in a row that brought no better accuracy, training ends.

    Attributes:
        accuracies: of the epochs that counted.
    """

    def __init__(self, clean: CleanSet, first: int, patience: int) -> None:
        self._clean = clean
        self._first = first
        self._patience = patience
        self._kept: dict[str, Tensor] = {}
        self.accuracies: list[float] = []

    def see(self, network: nn.Module, epoch: int) -> bool:
        """Look at the accuracy."""
        if epoch < self._first:
            return False
        self.accuracies.append(accuracy_on(network, self._clean))
        if self.accuracies[-1] >= self._enough():
            self._kept = copied(network)
        best = self.accuracies.index(max(self.accuracies))
        return len(self.accuracies) - 1 - best >= self._patience

    def is_worse(self, network: nn.Module) -> bool:
        """Whether a network, in eval mode, is not as good as the best that was seen."""
        return accuracy_on(network, self._clean) < self._enough()

    def _enough(self) -> float:
        best = max(self.accuracies)
        return best - math.sqrt(best * (1 - best) / len(self._clean))

    def end(self, network: nn.Module) -> None:
        """Go back to the state that was kept."""
        if self._kept:
            network.load_state_dict(self._kept)

    def state(self) -> State:
        """The state that was kept, and the accuracies."""
        return {"kept": self._kept, "accuracies": self.accuracies}

    def resume(self, state: State) -> None:
        """Go on from there."""
        self._kept, self.accuracies = dict(state["kept"]), list(state["accuracies"])


class KeepMean:
    """Keeps the mean of the last states, unless the state that ``KeepBest`` keeps is better.

    At a constant learning rate the states of single epochs waver about their mean, which is more
    accurate than they are: stochastic weight averaging (Izmailov et al., UAI 2018,
    https://arxiv.org/abs/1803.05407). The first five states count alike; later ones a fifth each.

    Args:
        best: chooses a state, and says when training ends. The states that count for it count here.
    """

    def __init__(self, best: KeepBest) -> None:
        self._best = best
        self._mean: dict[str, Tensor] = {}

    def see(self, network: nn.Module, epoch: int) -> bool:
        """Let the state count."""
        ended = self._best.see(network, epoch)
        if seen := len(self._best.accuracies):
            self._mean = _mixed(self._mean, copied(network), 1 / min(seen, AVERAGED))
        return ended

    def end(self, network: nn.Module) -> None:
        """Leave the mean, if it is at most one standard error worse than the best state."""
        self._best.end(network)
        if not self._mean:
            return
        chosen = copied(network)
        network.load_state_dict(self._mean)
        if self._best.is_worse(network):
            network.load_state_dict(chosen)

    def state(self) -> State:
        """The mean, and the state of what chooses."""
        return {"mean": self._mean, "best": self._best.state()}

    def resume(self, state: State) -> None:
        """Go on from there."""
        self._mean = dict(state["mean"])
        self._best.resume(state["best"])


def _mixed(mean: dict[str, Tensor], new: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """``new`` by its share, and the rest of ``mean``; counters, and what is infinite, as in new."""
    return {
        name: torch.where(tensor.isfinite(), mean[name].lerp(tensor, share), tensor)
        if mean and tensor.is_floating_point()
        else tensor
        for name, tensor in new.items()
    }


class UntilForgotten:
    """Ends a training that unlearns once the network knows no more than it should.

    Args:
        clean: images to ask it.
        accuracy: at which it has forgotten them.
        measured: (network in eval mode, clean images) -> accuracy; None for ``accuracy_on``.

    Attributes:
        accuracies: after each epoch.
    """

    def __init__(
        self,
        clean: CleanSet,
        accuracy: float,
        measured: Callable[[nn.Module, CleanSet], float] | None = None,
    ) -> None:
        self._clean = clean
        self._enough = accuracy
        self._measured = measured
        self.accuracies: list[float] = []

    def see(self, network: nn.Module, epoch: int) -> bool:
        """Look at the accuracy."""
        del epoch
        measured = self._measured or accuracy_on
        self.accuracies.append(measured(network, self._clean))
        return self.accuracies[-1] <= self._enough

    def end(self, network: nn.Module) -> None:
        """Leave the network as it is."""

    def state(self) -> State:
        """The accuracies."""
        return {"accuracies": self.accuracies}

    def resume(self, state: State) -> None:
        """Go on from there."""
        self.accuracies = list(state["accuracies"])


@torch.no_grad()
def accuracy_on(network: nn.Module, clean: CleanSet, *, mirrored: bool = False) -> float:
    """Share of clean images that a network, in eval mode, predicts as labelled.

    Args:
        network: images in [0, 1] -> logits.
        clean: images and labels.
        mirrored: whether the images are shown mirrored left to right.
    """
    device = next(network.parameters()).device
    batches = clean.batches(batch_size(clean.images), device)
    predicted = torch.cat(
        [network(images.flip(3) if mirrored else images).argmax(1) for images, _ in batches]
    )
    return clean_accuracy(predicted.cpu(), clean.labels)


@torch.no_grad()
def count_classes(network: nn.Module, clean: CleanSet) -> int:
    """How many classes a network, in eval mode, tells apart; one image is shown to it."""
    logits: Tensor = network(as_input(clean.images[:1], next(network.parameters()).device))
    return logits.shape[1]

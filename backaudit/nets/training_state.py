"""What a training changes from step to step: kept, restored, and refused once it is not finite."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from backaudit.core.errors import DivergedError
from backaudit.nets.stages import Stages, State

# Leaving states takes one part of the time for every so many parts of training.
SHARE = 10


class TrainingState:
    """All that another run needs to go on with a training.

    Args:
        network: that is trained.
        optimizers: of its parameters, and of others that are trained with it.
        schedule: of the first optimizer.
        generator: of the order of the images and of their augmentation.

    Attributes:
        epochs: trained so far.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizers: Sequence[Optimizer],
        schedule: LRScheduler,
        generator: torch.Generator,
    ) -> None:
        self.optimizers = optimizers
        self.schedule = schedule
        self.generator = generator
        self.epochs = 0
        self._network = network
        self._device = next(network.parameters()).device

    def record(self) -> State:
        """The state as plain values and the tensors themselves, which training goes on to change.

        The generators of torch are part of it, since layers such as dropout draw from them.
        """
        record: dict[str, Any] = {
            "epochs": self.epochs,
            "network": dict(self._network.state_dict()),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "others": [weight.detach() for weight in self._others()],
            "steps": self.schedule.last_epoch,
            "generator": self.generator.get_state(),
            "torch": torch.random.get_rng_state(),
        }
        if self._device.type == "cuda":
            record["cuda"] = torch.cuda.get_rng_state(self._device)
        return record

    def restore(self, record: State) -> None:
        """Go back to a state."""
        self.epochs = record["epochs"]
        self._network.load_state_dict(record["network"])
        for optimizer, left in zip(self.optimizers, record["optimizers"], strict=True):
            optimizer.load_state_dict(left)
        for weight, value in zip(self._others(), record["others"], strict=True):
            weight.detach().copy_(value)
        self.schedule.load_state_dict(
            {"last_epoch": record["steps"], "_step_count": record["steps"] + 1}
        )
        self.generator.set_state(record["generator"].cpu())
        torch.random.set_rng_state(record["torch"].cpu())
        if "cuda" in record and self._device.type == "cuda":
            torch.cuda.set_rng_state(record["cuda"].cpu(), self._device)

    def _others(self) -> Iterator[Tensor]:
        """What the optimizers but the network's train."""
        for optimizer in self.optimizers[1:]:
            for group in optimizer.param_groups:
                yield from group["params"]


class LastGood:
    """The last state of a network without NaN and infinity.

    Args:
        network: in a good state.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._kept = copied(network)

    def require(self, losses: Sequence[Tensor], step: int, steps: int) -> None:
        """Keep the network's state if it is good, else go back to the last one that was.

        Nothing is waited for before an epoch's end, so that a GPU is never idle.

        Args:
            losses: of the last steps.
            step: number of the last of these steps, from 0.
            steps: of the whole training, for the message.

        Raises:
            DivergedError: if one of the losses, or the state, is not finite.
        """
        wrong = (~torch.stack([loss.float() for loss in losses]).isfinite()).cpu()
        first = int(wrong.int().argmax()) if wrong.any() else len(losses)
        if first == len(losses) and _is_finite(self._network):
            self._kept = copied(self._network)
            return
        self._network.load_state_dict(self._kept)
        self._network.eval()
        place = min(step + 1, step + 2 - len(losses) + first)
        raise DivergedError(
            f"training led to NaN or infinite numbers at step {place} of {steps}. The network is "
            "left as it was before; a smaller learning rate may help."
        )


class Pace:
    """Leaves states so seldom that it takes a small part of the time.

    Args:
        stages: where.
        stage: under what name.
    """

    def __init__(self, stages: Stages, stage: str) -> None:
        self._stages = stages
        self._stage = stage
        self._cost = 0.0
        self._end = 0.0

    def is_due(self) -> bool:
        """Whether enough time has passed."""
        return time.monotonic() - self._end >= SHARE * self._cost

    def leave(self, state: State) -> None:
        """Leave a state."""
        start = time.monotonic()
        self._stages.leave(self._stage, state)
        self._end = time.monotonic()
        self._cost = self._end - start


def copied(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the state of a network, for ``load_state_dict``."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _is_finite(network: nn.Module) -> bool:
    floats = [
        tensor.isfinite().all()
        for tensor in network.state_dict().values()
        if tensor.is_floating_point()
    ]
    return bool(torch.stack(floats).all()) if floats else True

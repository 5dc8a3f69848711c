"""The only training loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, get_args, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from backaudit.core.errors import SettingError
from backaudit.core.progress import track
from backaudit.core.settings import did_you_mean
from backaudit.core.suspect import as_input
from backaudit.nets.augmentation import augmented
from backaudit.nets.epochs import Epochs
from backaudit.nets.precision import fast_autocast
from backaudit.nets.schedules import Schedule, schedule_of
from backaudit.nets.stages import NoStages, Stages
from backaudit.nets.training_state import LastGood, Pace, TrainingState
from backaudit.nets.watching import Watch


@dataclass(frozen=True)
class Training:
    """How to train: stochastic gradient descent on shifted images.

    Args:
        epochs: passes over the training set.
        learning_rate: from which the schedule departs.
        batch_size: images a step.
        weight_decay: of every parameter.
        shift: largest shift of an image in pixels, each way; borders are reflected.
        flip: whether images are mirrored left to right at random.
        bf16: whether to compute in bfloat16 where the device is fast at it.
        schedule: of the learning rate; see ``schedule_of``.
        momentum: of the gradients, in [0, 1); ``one-cycle`` has one of its own, 0.95 to 0.85.
        nesterov: whether the momentum is Nesterov's.
    """

    epochs: int
    learning_rate: float = 0.1
    batch_size: int = 128
    weight_decay: float = 5e-4
    shift: int = 3
    flip: bool = False
    bf16: bool = False
    schedule: Schedule = "one-cycle"
    momentum: float = 0.9
    nesterov: bool = True

    def __post_init__(self) -> None:
        """Refuse a schedule that does not exist, and a momentum that does not work."""
        if self.schedule not in get_args(Schedule):
            hint = did_you_mean(str(self.schedule), get_args(Schedule))
            raise SettingError(f"there is no schedule {self.schedule!r}. {hint}")
        works = 0 < self.momentum < 1 if self.nesterov else 0 <= self.momentum < 1
        if not works:
            raise SettingError(
                f"a momentum of {self.momentum} does not work: give one from 0 to below 1, and one "
                "above 0 if it is Nesterov's"
            )


class Objective(Protocol):
    """What a training minimises."""

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """Optimizers of parameters that are not the network's, stepped with it."""
        ...

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            network: images in [0, 1] -> logits, in training mode.
            images: (N, C, H, W) in [0, 1], augmented.
            labels: (N,) int64.
        """
        ...


@runtime_checkable
class OwnGradients(Protocol):
    """What an objective has besides its loss if its gradients are not simply those of the loss."""

    def differentiate(self, network: nn.Module, loss: Callable[[], Tensor]) -> Tensor:
        """Set ``grad`` of the network's parameters, which is None before; returns the loss.

        Args:
            network: images in [0, 1] -> logits, in training mode.
            loss: computes the objective's loss of the batch, each time anew and in the training's
                precision.
        """
        ...


@runtime_checkable
class EachEpoch(Protocol):
    """What an objective has besides its loss if it looks at the network before each epoch."""

    def begin_epoch(self, network: nn.Module) -> None:
        """See the network, in eval mode, before an epoch; what is drawn comes from torch."""
        ...


@dataclass(frozen=True)
class CrossEntropy:
    """The usual objective."""

    optimizers: Sequence[Optimizer] = ()

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the logits."""
        return F.cross_entropy(network(images).float(), labels)


@dataclass(frozen=True)
class Along:
    """What goes along with a training.

    Args:
        watch: looks at the network after each epoch, and may end the training; None for nobody.
        stages: where the training leaves its state once in a while, and finds what an earlier run
            left.
        stage: name of this training among the stages of its method.
    """

    watch: Watch | None = None
    stages: Stages = field(default_factory=NoStages)
    stage: str = "training"


def train(
    network: nn.Module,
    epochs: Epochs,
    training: Training,
    *,
    seed: int,
    objective: Objective | None = None,
    along: Along | None = None,
) -> int:
    """Train ``network`` in place, on the device it is on; leaves it in eval mode.

    A training that goes on from the state that another one left gives the same network as one that
    was not interrupted, on a CPU to the bit. The state holds that of torch's own generators.

    Args:
        network: images in [0, 1] -> logits.
        epochs: what each of them shows.
        training: how.
        seed: of the order of the images and of their augmentation.
        objective: what to minimise; None for the cross-entropy. One that has ``OwnGradients``
            computes them itself.
        along: who watches, and where the state is left; None for nobody and nowhere.

    Returns:
        Epochs trained, those of an earlier run included.

    Raises:
        DivergedError: if a loss or a weight became NaN or infinite; the network is left as it was
            after the last epoch in which none was.
    """
    goal, along = objective or CrossEntropy(), along or Along()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=training.learning_rate,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        nesterov=training.nesterov,
    )
    steps = -(-epochs.images // training.batch_size)
    schedule = schedule_of(training.schedule, optimizer, training.epochs * steps)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = TrainingState(network, (optimizer, *goal.optimizers), schedule, generator)
    if not _is_over(state, along):
        _Course(network, epochs, training, goal, state, along, steps).run()
    network.eval()
    if along.watch is not None:
        along.watch.end(network)
    return state.epochs


def _is_over(state: TrainingState, along: Along) -> bool:
    """Go on from what an earlier run left, if it left anything; whether it came to the end."""
    left = along.stages.left(along.stage)
    if left is None:
        return False
    state.restore(left["training"])
    if along.watch is not None:
        along.watch.resume(left["watch"])
    return bool(left["over"])


@dataclass
class _Course:
    """A training that is not over."""

    network: nn.Module
    epochs: Epochs
    training: Training
    goal: Objective
    state: TrainingState
    along: Along
    steps: int

    def run(self) -> None:
        """Train to the last epoch, or until the watch ends it."""
        last_good, pace = LastGood(self.network), Pace(self.along.stages, self.along.stage)
        first, total = self.state.epochs * self.steps, self.training.epochs * self.steps
        losses: list[Tensor] = []
        self.network.train()
        for step in track(range(first, total), "training"):
            epoch, position = divmod(step, self.steps)
            if position == 0:
                self._begin_epoch()
                images, labels = self.epochs.shown(epoch)
                order = torch.randperm(len(images), generator=self.state.generator)
            size = self.training.batch_size
            losses.append(self._step(images, labels, order[position * size :][:size]))
            if position < self.steps - 1:
                continue
            last_good.require(losses, step, total)
            losses.clear()
            if self._end_epoch(pace, last=step == total - 1):
                break

    def _begin_epoch(self) -> None:
        if isinstance(self.goal, EachEpoch):
            self.network.eval()
            self.goal.begin_epoch(self.network)
            self.network.train()

    def _step(self, images: Tensor, labels: Tensor, batch: Tensor) -> Tensor:
        """One step of every optimizer on the images at ``batch`` (B,); returns the loss."""
        training, state = self.training, self.state
        shown = augmented(images, batch, training.shift, state.generator, flip=training.flip)
        device = next(self.network.parameters()).device
        inputs, wanted = as_input(shown, device), labels[batch].to(device)

        def loss_of_batch() -> Tensor:
            with fast_autocast(device, wanted=training.bf16):
                return self.goal.loss(self.network, inputs, wanted)

        if isinstance(self.goal, OwnGradients):
            self._forget_gradients()
            loss = self.goal.differentiate(self.network, loss_of_batch)
        else:
            loss = loss_of_batch()
            self._forget_gradients()
            loss.backward()
        for optimizer in state.optimizers:
            optimizer.step()
        state.schedule.step()
        return loss.detach()

    def _forget_gradients(self) -> None:
        for optimizer in self.state.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def _end_epoch(self, pace: Pace, *, last: bool) -> bool:
        """Let the watch see the network, and leave the state; True if the watch ends it all."""
        watch, ended = self.along.watch, False
        if watch is not None:
            self.network.eval()
            ended = watch.see(self.network, self.state.epochs)
            self.network.train()
        self.state.epochs += 1
        over = ended or last
        if over or pace.is_due():
            watched = {} if watch is None else watch.state()
            pace.leave({"training": self.state.record(), "watch": watched, "over": over})
        return ended

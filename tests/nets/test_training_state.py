from copy import deepcopy
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import DivergedError
from backaudit.core.seeding import seeded
from backaudit.nets import training_state
from backaudit.nets.epochs import Epochs
from backaudit.nets.schedules import Schedule
from backaudit.nets.stages import NoStages, State
from backaudit.nets.training import Along, CrossEntropy, train
from tests.nets.test_training import SHORT, Counting, same, trained
from tests.toy import draw_images, toy_network


class Interrupted(Exception):  # noqa: N818 - it is none of the errors of the package
    pass


class Memory:
    """Stages that keep copies, and interrupt the run once so many are left."""

    def __init__(self, last: int = -1) -> None:
        self.states: dict[str, State] = {}
        self.last = last

    def left(self, stage: str) -> State | None:
        return deepcopy(self.states.get(stage))

    def leave(self, stage: str, state: State) -> None:
        self.states[stage] = deepcopy(state)
        self.last -= 1
        if self.last == 0:
            raise Interrupted


class Brighter(CrossEntropy):
    """Learns something else with an optimizer of its own."""

    def __init__(self) -> None:
        self.light = nn.Parameter(torch.zeros(3, 1, 1))
        super().__init__((torch.optim.Adam([self.light], lr=0.1),))

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return super().loss(network, images + self.light, labels)


def drowsy() -> nn.Module:
    """A network that draws random numbers itself."""
    network = toy_network()
    assert isinstance(network, nn.Sequential)
    return network.insert(3, nn.Dropout(0.3))


@pytest.mark.parametrize("schedule", get_args(Schedule))
@pytest.mark.parametrize("interrupted", [1, 2, 3, 4])
def test_a_resumed_training_gives_the_same_network_to_the_bit(
    schedule: Schedule, interrupted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_state, "SHARE", 0)
    data, training = draw_images(10, 1), replace(SHORT, epochs=4, schedule=schedule)
    networks = drowsy(), drowsy(), drowsy()
    epochs: list[int] = []
    asked: list[int] = []

    def shown(epoch: int) -> tuple[Tensor, Tensor]:
        asked.append(epoch)
        return data

    def run(network: nn.Module, stages: Memory) -> list[int]:
        watch, objective = Counting(3), Brighter()
        along = Along(watch, stages, "here")
        with seeded(1):
            done = train(
                network,
                Epochs(len(data[0]), shown),
                training,
                seed=0,
                objective=objective,
                along=along,
            )
        epochs.append(done)
        return watch.seen

    whole = run(networks[0], Memory())
    stages = Memory(interrupted)
    with pytest.raises(Interrupted):
        run(networks[1], stages)
    assert run(networks[2], stages) == whole == [0, 1, 2, 3, -1]
    assert same(networks[0], networks[2])
    assert epochs == [4, 4]
    assert asked == [0, 1, 2, 3, 0, 1, 2, 3]


def test_leaving_states_takes_a_small_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 1.0 + 9.9, 1.0 + 10.0])
    monkeypatch.setattr("backaudit.nets.training_state.time.monotonic", lambda: next(clock))
    pace = training_state.Pace(NoStages(), "here")
    monkeypatch.setattr(pace, "_end", -1.0)
    pace.leave({})
    assert not pace.is_due()
    assert pace.is_due()


class Diverging(CrossEntropy):
    """Has a bad loss, or bad gradients, at one step."""

    def __init__(self, step: int, *, loss: bool) -> None:
        super().__init__()
        object.__setattr__(self, "left", [step])
        object.__setattr__(self, "bad_loss", loss)

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        loss = super().loss(network, images, labels)
        self.left[0] -= 1  # type: ignore[attr-defined]
        if self.left[0]:  # type: ignore[attr-defined]
            return loss
        # The root of zero is zero, and rises infinitely fast.
        return loss / 0 if self.bad_loss else loss + (0 * loss).sqrt()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("step", "good"), [(1, 0), (4, 0), (5, 1), (8, 1), (12, 2)])
@pytest.mark.parametrize("loss", [True, False])
def test_numbers_that_are_not_finite_end_the_training_in_its_last_good_state(
    step: int, good: int, loss: bool
) -> None:
    training = replace(SHORT, epochs=3, schedule="constant", learning_rate=0.01)
    network, data = toy_network(), draw_images(20, 1)
    told = step if loss or step % 4 == 0 else step + 1
    with pytest.raises(DivergedError, match=f"infinite numbers at step {told} of 12"):
        train(network, Epochs.alike(*data), training, seed=0, objective=Diverging(step, loss=loss))
    expected = trained(replace(training, epochs=good)) if good else toy_network()
    assert same(network, expected)
    assert not any(module.training for module in network.modules())

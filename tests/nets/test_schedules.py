import pytest
import torch
from torch import nn

from backaudit.nets.schedules import Schedule, schedule_of


def rates(name: Schedule, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4, momentum=0.9)
    schedule = schedule_of(name, optimizer, steps)
    found = []
    for _ in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return found


def test_schedules_by_hand() -> None:
    assert rates("constant", 4) == [0.4] * 4
    assert rates("cosine", 4) == pytest.approx([0.4, 0.2 + 0.1 * 2**0.5, 0.2, 0.2 - 0.1 * 2**0.5])
    assert rates("steps", 8) == pytest.approx([0.4] * 4 + [0.04] * 2 + [0.004] * 2)
    growing = rates("growing", 101)
    assert growing[::50] == pytest.approx([0.4, 4.0, 40.0])
    assert growing[25] == pytest.approx(0.4 * 10**0.5)


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing() -> None:
    found = rates("one-cycle", 20)
    peak = found.index(max(found))
    assert found[: peak + 1] == sorted(found[: peak + 1])
    assert found[peak:] == sorted(found[peak:], reverse=True)
    assert max(found) == pytest.approx(0.4)
    assert found[0] == pytest.approx(0.4 / 25)
    assert found[-1] < 1e-4


@pytest.mark.parametrize("name", ["one-cycle", "constant", "cosine", "steps", "growing"])
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_any_number_of_steps_will_do(name: Schedule, steps: int) -> None:
    assert len(rates(name, steps)) == steps

import time
from typing import Any, cast

import pytest
import torch

from backaudit.bench.screening import timing
from backaudit.bench.screening.timing import Cost, cost
from backaudit.core.screening import Screened
from backaudit.firewall.screener import FittedScreener
from tests.toy import suspect_of, toy_network

IMAGES = torch.zeros(3, 3, 12, 12, dtype=torch.uint8)


class Clock:
    """Time passes only where it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "perf_counter", made)
    return made


def measured(clock: Clock, plain: list[float], screened: list[float], batch: int = 2) -> Cost:
    """The cost where each call takes the next of these seconds, the last one from then on."""
    suspect = suspect_of(toy_network())

    def takes(seconds: list[float]) -> None:
        clock.now += seconds.pop(0) if len(seconds) > 1 else seconds[0]

    suspect.network.register_forward_hook(lambda *_: takes(plain))

    def screener(images: torch.Tensor) -> Any:
        assert images.shape == (batch, 3, 12, 12)
        takes(screened)
        zeros = torch.zeros(len(images))
        return Screened(zeros[:, None], zeros, zeros.bool())

    return cost(suspect, cast(FittedScreener, screener), IMAGES, batch)


def test_a_cost_is_the_median_per_image_without_the_first_turn(clock: Clock) -> None:
    found = measured(clock, [0.9, 0.1, 0.2], [0.9, 0.6, 0.4])
    assert (found.plain, found.screened) == pytest.approx((0.1, 0.2))
    assert found.passes == pytest.approx(2.0)
    assert (found.batch, found.rounds) == (2, timing.ROUNDS)


def test_what_is_slow_gets_fewer_turns(clock: Clock) -> None:
    assert measured(clock, [1.0], [timing.MAX_SECONDS]).rounds == 1
    assert measured(clock, [0.0], [timing.MAX_SECONDS / 3]).rounds == 2


def test_images_are_repeated_where_there_are_too_few(clock: Clock) -> None:
    assert measured(clock, [0.1], [0.2], batch=7).batch == 7

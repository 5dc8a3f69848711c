"""What screening costs, beside the plain forward pass on the same images at the same time."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from backaudit.core.suspect import Suspect, as_input
from backaudit.firewall.screener import FittedScreener

LATENCY, THROUGHPUT = 1, 128
"""Images at a time: one that waits for an answer, and many."""
ROUNDS = 7
MAX_SECONDS = 10.0


@dataclass(frozen=True)
class Cost:
    """Seconds per image, medians of rounds in which the two took turns.

    Args:
        batch: images at a time.
        plain: of the network alone.
        screened: with the screener, which needs the network's answer too.
        rounds: how many.
    """

    batch: int
    plain: float
    screened: float
    rounds: int

    @property
    def passes(self) -> float:
        """What screening takes, in forward passes of the network alone."""
        return self.screened / self.plain


def cost(suspect: Suspect, screener: FittedScreener, images: Tensor, batch: int) -> Cost:
    """Time a screener and the network that it screens for, in turns, after one turn to warm up.

    Args:
        suspect: the model.
        screener: made for it.
        images: (N, C, H, W) uint8 on the CPU; repeated where ``batch`` is larger.
        batch: images at a time.
    """
    given = images.repeat(-(-batch // len(images)), 1, 1, 1)[:batch]

    @torch.no_grad()
    def plain() -> None:
        suspect.network(as_input(given, suspect.device)).cpu()

    def screened() -> None:
        screener(given).flagged.cpu()

    rounds = _rounds(plain, screened)
    alone, together = (statistics.median(each) / batch for each in zip(*rounds, strict=True))
    return Cost(batch, alone, together, len(rounds))


def _rounds(first: Callable[[], None], second: Callable[[], None]) -> list[tuple[float, float]]:
    """Seconds of either, turn by turn; fewer turns where they are slow."""
    start = time.perf_counter()
    found = [(_seconds(first), _seconds(second))]
    while len(found) <= ROUNDS and time.perf_counter() - start < MAX_SECONDS:
        found.append((_seconds(first), _seconds(second)))
    # What runs for the first time also allocates and compiles.
    return found[1:] or found


def _seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start

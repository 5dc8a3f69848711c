"""What BAN costs on a ResNet-18 beside the official procedure: FLOPs, FLOP/s and CPU-seconds.

Run from a source checkout: ``python benchmarks/ban_cost.py [--width 64] [--images 500]``.
The official procedure (400 mask steps and 600 noise steps of 128 images in training mode, float32,
gradients of all weights, two passes over 5,000 images) is timed over 5 of its steps and
extrapolated; ours runs whole, in bfloat16 where the processor is fast at it.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from backaudit.audit import run_detector
from backaudit.core.clean_set import CleanSet
from backaudit.core.seeding import seeded
from backaudit.core.suspect import Preprocessing, Suspect
from backaudit.detectors import BAN
from backaudit.nets.architectures import ARCHITECTURES

BATCH = 128
TIMED = 5
OFFICIAL_STEPS = 400 + 600
OFFICIAL_EVALUATIONS = 2 * 5000


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--images", type=int, default=500)
    chosen = parser.parse_args()
    with seeded(0):
        network = ARCHITECTURES["resnet18-cifar"](num_classes=10, width=chosen.width).eval()
        images = (torch.rand(chosen.images, 3, 32, 32) * 255).to(torch.uint8)
    labels = torch.arange(chosen.images) % 10
    official = _official(network)
    ours = _ours(network, CleanSet(images, labels, True, "noise", "by index"))
    _print("official, one run (extrapolated)", *official)
    _print(f"backaudit, {BAN().restarts} restarts, {len(BAN().budgets)} budgets", *ours)
    print(f"CPU-seconds, official / backaudit: {official[1] / ours[1]:.1f}")


def _measured(work: Callable[[], object]) -> tuple[float, float]:
    """FLOPs and CPU-seconds of ``work``, counted and timed apart."""
    start = time.process_time()
    work()
    seconds = time.process_time() - start
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops(), seconds


def _official(network: nn.Module) -> tuple[float, float]:
    images, labels = torch.rand(BATCH, 3, 32, 32), torch.arange(BATCH) % 10
    network.train()

    def step() -> None:
        for _ in range(TIMED):
            network.zero_grad()
            F.cross_entropy(network(images), labels).backward()

    def evaluate() -> None:
        with torch.no_grad():
            for _ in range(TIMED):
                network(images)

    step()
    steps = [part * OFFICIAL_STEPS / TIMED for part in _measured(step)]
    evaluations = [part * OFFICIAL_EVALUATIONS / BATCH / TIMED for part in _measured(evaluate)]
    network.eval().requires_grad_(False)
    flops, seconds = (a + b for a, b in zip(steps, evaluations, strict=True))
    return flops, seconds


def _ours(network: nn.Module, clean: CleanSet) -> tuple[float, float]:
    preprocessing = Preprocessing((32, 32), (0.0,) * 3, (1.0,) * 3, "[0, 1]", "given")
    names = tuple(str(label) for label in range(10))
    suspect = Suspect(
        network, 10, (3, 32, 32), "resnet18-cifar", "", Path("noise"), "", names, preprocessing
    )
    return _measured(lambda: run_detector(BAN(), suspect, clean, seed=0))


def _print(what: str, flops: float, seconds: float) -> None:
    rate = flops / seconds / 1e9
    print(f"{what}: {flops / 1e12:.1f} TFLOP, {seconds:.0f} CPU-s, {rate:.0f} GFLOP/s a CPU-second")


if __name__ == "__main__":
    main()

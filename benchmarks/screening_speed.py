"""What five amplified networks cost beside the published procedure: passes, seconds and scores.

Run from a source checkout: ``python benchmarks/screening_speed.py --output FILE [--width 64]``.
The published procedure copies the network for each amplified one, for each batch, multiplies the
weights of the copy and runs it whole. Both are timed alternately on the same batches, and ratios
are taken pair by pair, because other processes may be at work.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from backaudit.core.seeding import seeded
from backaudit.core.suspect import as_input
from backaudit.nets.amplification import amplify
from backaudit.nets.architectures import ARCHITECTURES
from backaudit.nets.layers import execution_order, norm_layers

SCALE = 1.5
FIRST, NETWORKS = 6, 5


@torch.no_grad()
def main() -> None:
    """Measure a network and write a report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default="resnet18-cifar")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    with seeded(0):
        network = ARCHITECTURES[chosen.architecture](width=chosen.width).eval()
        images = as_input(torch.rand(chosen.batch, 3, 32, 32), torch.device("cpu"))
    layers = list(execution_order(network, norm_layers(network), images[:1]))[::-1]
    depths = range(FIRST, FIRST + NETWORKS)
    amplified = amplify(network, layers, depths, SCALE, images[:3])
    ways: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: network(images),
        "amplified": lambda: amplified(images),
        "published": lambda: _published(network, layers, depths, images),
    }
    seconds = {name: [] for name in ways}
    for _ in range(chosen.repeats):
        for name, way in ways.items():
            seconds[name].append(_seconds(way))
    report = {
        "settings": {name: str(value) for name, value in vars(chosen).items() if name != "output"},
        "torch": torch.__version__,
        "how": amplified.how,
        "operations": {name: _operations(way) for name, way in ways.items()},
        "seconds": {name: round(median(found), 3) for name, found in seconds.items()},
        "amplified_in_passes": _ratio(seconds["amplified"], seconds["plain"]),
        "published_in_passes": _ratio(seconds["published"], seconds["plain"]),
        "times_faster": _ratio(seconds["published"], seconds["amplified"]),
        "largest_difference_of_scores": float(
            (_scores(ways["published"]()) - _scores(ways["amplified"]())).abs().max()
        ),
    }
    chosen.output.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def _published(
    network: nn.Module, layers: Sequence[str], depths: Sequence[int], images: Tensor
) -> Tensor:
    rows = [network(images)]
    for depth in depths:
        copy = deepcopy(network)
        for name in layers[:depth]:
            layer = copy.get_submodule(name)
            layer.weight.data *= SCALE
            layer.bias.data *= SCALE
        rows.append(copy(images))
    return torch.stack(rows)


def _scores(logits: Tensor) -> Tensor:
    """Mean probability (N,) that the amplified networks give to the plain one's prediction."""
    predicted = logits[0].argmax(1)
    return logits[1:].softmax(2).mean(0)[torch.arange(len(predicted)), predicted]


def _seconds(work: Callable[[], object]) -> float:
    """Processor seconds, which other processes add little to."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _operations(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def _ratio(one: Sequence[float], other: Sequence[float]) -> float:
    return round(median(a / b for a, b in zip(one, other, strict=True)), 2)


if __name__ == "__main__":
    main()

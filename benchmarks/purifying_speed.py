"""How long noise fine-tuning and TSBD train, beside the schedules of the papers' published code.

Run from a source checkout: ``python benchmarks/purifying_speed.py [--width 64] [--images 1024]``.
Both sides train the same ResNet-18 on the same images for an epoch, in one process and one after
the other, twice; the second time counts. The published schedules are written down here as the
published code has them: float32, and for noise fine-tuning gradients of all weights in the noise
step; for TSBD a copy of the network in every step and a third pass. Searches, unlearning and
selection, which come once, are not part of it.
"""

import argparse
import json
import time
from collections.abc import Callable
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.seeding import seeded
from backaudit.nets.architectures import ARCHITECTURES
from backaudit.nets.epochs import Epochs
from backaudit.nets.layers import batch_norms
from backaudit.nets.training import Objective, Training, train
from backaudit.purifiers import TSBD, NoiseFT
from backaudit.purifiers.noise_ft import NoiseLoss, learning_noise
from backaudit.purifiers.soft_labels import taught_by
from backaudit.purifiers.tsbd import ActivenessAware

Batches = list[tuple[Tensor, Tensor]]


def main() -> None:
    """Measure both and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--images", type=int, default=1024)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with seeded(0):
        network = ARCHITECTURES["resnet18-cifar"](num_classes=10, width=chosen.width).eval()
        images = (torch.rand(chosen.images, 3, 32, 32) * 255).to(torch.uint8)
    clean = CleanSet(images, torch.arange(chosen.images) % 10, True, "noise", "by index")
    found = {
        "noise-ft": _compared(network, clean, _published_noise, _own_noise, NoiseFT().batch_size),
        "tsbd": _compared(network, clean, _published_tsbd, _own_tsbd, TSBD().batch_size),
    }
    print(json.dumps({"width": chosen.width, "images": chosen.images, **found}, indent=1))


def _compared(
    network: nn.Module,
    clean: CleanSet,
    published: Callable[[nn.Module, Batches], None],
    own: Callable[[nn.Module], Objective],
    size: int,
) -> dict[str, float]:
    batches = [
        (images, labels)
        for images, labels in zip(
            (clean.images.float() / 255).split(size), clean.labels.split(size), strict=True
        )
    ]
    theirs = _seconds(lambda copy: published(copy, batches), network)
    ours = _seconds(lambda copy: _epoch(copy, clean, own(copy), size), network)
    return {
        "published_seconds": round(theirs, 2),
        "own_seconds": round(ours, 2),
        "times_faster": round(theirs / ours, 2),
    }


def _seconds(work: Callable[[nn.Module], None], network: nn.Module) -> float:
    for _ in range(2):
        copy = deepcopy(network)
        start = time.process_time()
        work(copy)
        taken = time.process_time() - start
    return taken


def _epoch(network: nn.Module, clean: CleanSet, objective: Objective, size: int) -> None:
    training = Training(1, 0.005, size, nesterov=False, bf16=True, shift=4, schedule="constant")
    shown = Epochs.alike(clean.images, clean.labels)
    train(network, shown, training, seed=0, objective=objective)


def _own_noise(network: nn.Module) -> Objective:
    settings = NoiseFT()
    return NoiseLoss(learning_noise(network), settings, taught_by(network, settings.label_weight))


def _own_tsbd(network: nn.Module) -> Objective:
    settings = TSBD()
    goal = taught_by(network, settings.label_weight)
    return ActivenessAware(
        goal.teacher, goal.label_weight, radius=settings.radius, mix=settings.mix
    )


class _NoisyNorm(nn.Module):
    """Batch norm whose two parameters take relative noise."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm
        self.noise = nn.Parameter(torch.zeros(2, norm.num_features))
        self.on = False

    def forward(self, features: Tensor) -> Tensor:
        noise = self.noise if self.on else torch.zeros_like(self.noise)
        scale, shift = self.norm.weight * (1 + noise[0]), self.norm.bias * (1 + noise[1])
        mean, variance = self.norm.running_mean, self.norm.running_var
        return F.batch_norm(features, mean, variance, scale, shift, self.training, 0.1)


def _published_noise(network: nn.Module, batches: Batches) -> None:
    norms = []
    for name in batch_norms(network):
        parent, _, child = name.rpartition(".")
        norms.append(_NoisyNorm(network.get_submodule(name)))  # type: ignore[arg-type]
        setattr(network.get_submodule(parent), child, norms[-1])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.005, momentum=0.9, weight_decay=5e-4)
    network.train()
    for images, labels in batches:
        for norm in norms:
            norm.noise.data.uniform_(-0.3, 0.3)
            norm.on = True
        optimizer.zero_grad()
        (-F.cross_entropy(network(images), labels)).backward()
        for norm in norms:
            norm.noise.data -= 0.3 * norm.noise.grad.sign()  # type: ignore[union-attr]
        optimizer.zero_grad()
        noisy = F.cross_entropy(network(images), labels)
        for norm in norms:
            norm.on = False
        (F.cross_entropy(network(images), labels) + 0.5 * noisy).backward()
        optimizer.step()


def _published_tsbd(network: nn.Module, batches: Batches) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    network.train()
    for images, labels in batches:
        copy = deepcopy(network)
        F.cross_entropy(copy(images), labels).backward()
        first = [weight.grad.clone() for weight in copy.parameters() if weight.grad is not None]
        with torch.no_grad():
            for weight, gradient in zip(copy.parameters(), first, strict=True):
                weight.add_(0.05 * gradient / gradient.norm())
        copy.zero_grad()
        F.cross_entropy(copy(images), labels).backward()
        F.cross_entropy(network(images), labels)
        for weight, moved, gradient in zip(
            network.parameters(), copy.parameters(), first, strict=True
        ):
            weight.grad = gradient.lerp(moved.grad, 0.7)  # type: ignore[arg-type]
        optimizer.step()


if __name__ == "__main__":
    main()

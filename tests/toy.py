"""Small images that can be told apart, and networks that learn them in a fraction of a second."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Evidence
from backaudit.core.seeding import seeded
from backaudit.core.suspect import Preprocessing, Suspect
from backaudit.detectors.interface import Detector

CLASSES = 6
SIZE = 12
TARGET = 2


def draw_images(per_class: int, seed: int, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Images (N, C, 12, 12) uint8 and labels (N,): a smooth pattern a class, in light and noise."""
    patterns = torch.rand(CLASSES, channels, 4, 4, generator=torch.Generator().manual_seed(99))
    smooth = F.interpolate(patterns, (SIZE, SIZE), mode="bicubic").clamp(0, 1)
    labels = torch.arange(CLASSES).repeat_interleave(per_class)
    generator = torch.Generator().manual_seed(seed)
    contrast, light = torch.rand(2, len(labels), 1, 1, 1, generator=generator)
    noise = 0.13 * torch.randn(len(labels), channels, SIZE, SIZE, generator=generator)
    images = (smooth[labels] - 0.5) * (0.25 + 0.6 * contrast) + 0.35 + 0.3 * light + noise
    return (255 * images.clamp(0, 1)).round().to(torch.uint8), labels


def clean_set(per_class: int = 20, seed: int = 3, channels: int = 3) -> CleanSet:
    images, labels = draw_images(per_class, seed, channels)
    return CleanSet(images, labels, True, "memory", "by index", 1.0)


def toy_network(
    channels: int = 3,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    classes: int = CLASSES,
    *,
    bias: bool = False,
    seed: int = 0,
) -> nn.Module:
    """Three convolutions, each with a normalisation layer, and a linear head."""
    widths = (channels, 8, 16, 32)
    network = nn.Sequential()
    with seeded(seed):
        for index, (before, after) in enumerate(pairwise(widths)):
            stride = 1 if index == 0 else 2
            network.append(nn.Conv2d(before, after, 3, stride, padding=1, bias=bias))
            network.append(norm(after))
            network.append(nn.ReLU())
        network.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes)])
    return unusual(network)


def unusual(network: nn.Module) -> nn.Module:
    """Give normalisation layers values of their own, so that a mix-up of any two is seen."""
    generator = torch.Generator().manual_seed(5)
    named = [*network.named_parameters(), *network.named_buffers()]
    with torch.no_grad():
        for name, tensor in named:
            if tensor.dim() == 1 and tensor.is_floating_point():
                low, high = (-0.2, 0.2) if name.endswith(("bias", "mean")) else (0.6, 1.4)
                tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    return network.eval()


def suspect_of(network: nn.Module, channels: int = 3, classes: int = CLASSES) -> Suspect:
    return Suspect(
        network=network.requires_grad_(False).eval(),
        num_classes=classes,
        image_shape=(channels, SIZE, SIZE),
        architecture="toy",
        sha256="0" * 64,
        path=Path("toy.pt"),
        format="torch-zip",
        class_names=tuple(f"class {label}" for label in range(classes)),
        preprocessing=Preprocessing((SIZE, SIZE), (0.0,), (1.0,), "unit", "made so"),
    )


def evidence(detector: Detector, suspect: Suspect, clean: CleanSet, seed: int = 0) -> Evidence:
    """What a detector reads when it is run with a seed; its errors come through."""
    with seeded(seed):
        return detector.detect(suspect, clean)


def prototypes(counts: list[int]) -> CleanSet:
    """One image a class, repeated."""
    clean = clean_set(per_class=1)
    chosen = torch.arange(CLASSES).repeat_interleave(torch.tensor(counts))
    return clean.take(chosen)


def shares_by_hand(suspect: Suspect) -> list[float]:
    """For each class, the share of the other classes' prototypes that the network gives to it."""
    predicted = suspect.logits(clean_set(per_class=1).images).argmax(1)
    return [
        sum(int(predicted[other]) == label for other in range(CLASSES) if other != label) / 5
        for label in range(CLASSES)
    ]

"""The model under audit."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from backaudit.core.evidence import FileFinding

LARGEST_BATCH = 256
BATCH_PIXELS = 1 << 20


@dataclass(frozen=True)
class Preprocessing:
    """How images in [0, 1] become what the network was trained on.

    Args:
        size: height and width in pixels the network receives.
        mean: per-channel mean, in [0, 1] units, subtracted first.
        std: per-channel standard deviation, in [0, 1] units, divided by second.
        name: the convention's usual name, such as ``imagenet``.
        how: how it was found, for the report.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str
    how: str


@dataclass(frozen=True)
class Suspect:
    """The model under audit: a network from images in [0, 1] to logits, and where it came from.

    Args:
        network: images (N, C, H, W) in [0, 1] -> logits (N, K); normalisation inside, eval mode, no
            parameter requires a gradient.
        num_classes: K.
        image_shape: (C, H, W) the network receives.
        architecture: name of the recognised architecture, such as ``resnet18-cifar(width=64)``.
        sha256: digest of the checkpoint's bytes, in hexadecimal.
        path: the checkpoint's file.
        format: ``torch-zip``, ``torch-legacy`` or ``safetensors``.
        class_names: K names, for the report.
        preprocessing: what ``network`` does to an image first.
        assumptions: what had to be guessed about the network, one sentence each.
        findings: about the file it was read from; none of them is unsafe.
    """

    network: nn.Module
    num_classes: int
    image_shape: tuple[int, int, int]
    architecture: str
    sha256: str
    path: Path
    format: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    assumptions: tuple[str, ...] = ()
    findings: tuple[FileFinding, ...] = ()

    @property
    def device(self) -> torch.device:
        """Device of the network's parameters."""
        return next(self.network.parameters()).device

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits (N, K) on the CPU for images (N, C, H, W), uint8 or floats in [0, 1]."""
        batches = (as_input(part, self.device) for part in images.split(batch_size(images)))
        return torch.cat([self.network(batch).float().cpu() for batch in batches])


def batch_size(images: Tensor) -> int:
    """How many of ``images`` (N, C, H, W) to classify at a time, so that memory stays bounded."""
    return max(1, min(LARGEST_BATCH, BATCH_PIXELS // (images.shape[2] * images.shape[3])))


def as_input(images: Tensor, device: torch.device) -> Tensor:
    """Turn stored images (N, C, H, W), uint8 or float, into floats in [0, 1] on ``device``.

    Channels come last in memory, which convolutions are faster at.
    """
    images = images.to(device, memory_format=torch.channels_last)
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()

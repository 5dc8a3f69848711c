"""The model under audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backaudit.core.errors import CalibrationError
from backaudit.core.evidence import FileFinding
from backaudit.core.printable import printable

LARGEST_BATCH = 256
BATCH_PIXELS = 1 << 20
# Other machines round otherwise: by which share of their range a network's answers may differ.
SAME = 1e-2


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
class Making:
    """What was decided on the way from a checkpoint's tensors to the network.

    Args:
        arch: architecture that the user named; None if it was recognised.
        size: height and width that the user stated; None if found out.
        defined: whether the user's own definition made the network.
        filling: how a plain chain of layers was filled in, JSON-ready; None for other networks.
        undone: what stood after the logits and was left out or undone, the last first.
    """

    arch: str | None = None
    size: tuple[int, int] | None = None
    defined: bool = False
    filling: Mapping[str, Any] | None = None
    undone: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """All that clean images decided about a suspect: with it, it is loaded again without them.

    Args:
        sha256: digest of the checkpoint's bytes, in hexadecimal.
        architecture: name of the architecture.
        image_shape: (C, H, W) the network receives.
        class_names: K names.
        preprocessing: how images are prepared.
        making: how the network was made.
        assumptions: what had to be guessed about the network, one sentence each.
        answers: its logits for ``fixed_images``, K each, by which it is known again.
    """

    sha256: str
    architecture: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    making: Making
    assumptions: tuple[str, ...]
    answers: tuple[tuple[float, ...], ...]

    def require(self, sha256: str, path: Path) -> None:
        """Refuse any model but this one.

        Args:
            sha256: digest of the model's file, in hexadecimal.
            path: of the model, for the message.

        Raises:
            CalibrationError: if it is another model.
        """
        if sha256 != self.sha256:
            raise CalibrationError(
                f"the calibration belongs to another model (SHA-256 {self.sha256[:16]}...) than "
                f"{printable(path)} (SHA-256 {sha256[:16]}...); calibrate this one with clean "
                "images."
            )

    def is_answered(self, logits: Tensor) -> bool:
        """Whether logits (2, K) for ``fixed_images`` are this model's, but for rounding."""
        expected = torch.tensor(self.answers, dtype=torch.float64)
        if logits.shape != expected.shape:
            return False
        spread = (expected.max() - expected.min()).clamp_min(1e-6)
        return bool((logits.cpu().double() - expected).abs().max() <= SAME * spread)


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
        making: how the network was made of the checkpoint.
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
    making: Making = Making()

    @property
    def device(self) -> torch.device:
        """Device of the network's parameters."""
        return next(self.network.parameters()).device

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits (N, K) on the CPU for images (N, C, H, W), uint8 or floats in [0, 1]."""
        batches = (as_input(part, self.device) for part in images.split(batch_size(images)))
        return torch.cat([self.network(batch).float().cpu() for batch in batches])


def fixed_images(shape: tuple[int, int, int]) -> Tensor:
    """Two images (2, C, H, W) uint8 without meaning, always the same for a shape (C, H, W)."""
    steps = torch.arange(2 * shape[0] * shape[1] * shape[2])
    return (steps * steps * 97 // 64 % 251).to(torch.uint8).view(2, *shape)


def batch_size(images: Tensor) -> int:
    """How many of ``images`` (N, C, H, W) to classify at a time, so that memory stays bounded."""
    return max(1, min(LARGEST_BATCH, BATCH_PIXELS // (images.shape[2] * images.shape[3])))


def as_input(images: Tensor, device: torch.device) -> Tensor:
    """Turn stored images (N, C, H, W), uint8 or float, into floats in [0, 1] on ``device``.

    Channels come last in memory, which convolutions are faster at.
    """
    images = images.to(device, memory_format=torch.channels_last)
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()

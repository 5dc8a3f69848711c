"""What an auditor holds: a checkpoint whose name says nothing, and a file of clean images."""

import hashlib
import shutil
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backaudit.bench.data.datasets import Dataset
from backaudit.core.clean_set import CleanSet
from backaudit.core.suspect import Suspect
from backaudit.loading.load import LoadOptions, load

TAIL = 0.6
"""In a long-tailed clean set each class has this share of the images of the class before it."""


@dataclass(frozen=True)
class CleanImages:
    """Clean images as an auditor has them.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64; None if the auditor does not know them.
        origin: how they were drawn, JSON-ready.
    """

    images: Tensor
    labels: Tensor | None
    origin: dict[str, Any]

    @cached_property
    def sha256(self) -> str:
        """Digest of the pixels and the labels, in hexadecimal."""
        digest = hashlib.sha256(self.images.contiguous().numpy().data)
        if self.labels is not None:
            digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Write them as an ``.npz`` file that ``--clean`` reads."""
        arrays = {"x": self.images.permute(0, 2, 3, 1).numpy()}
        if self.labels is not None:
            arrays["y"] = self.labels.numpy()
        np.savez(path, **arrays)  # type: ignore[arg-type]


@dataclass(frozen=True)
class CleanSample:
    """How clean images are drawn from the test part of a data set.

    Args:
        images: how many; fewer where the test part has no more.
        labelled: whether the auditor knows their labels.
        imbalanced: whether they are long-tailed: the classes, in an order drawn by the seed, get
            shares that fall by the factor 0.6, and each at least one image.
    """

    images: int = 200
    labelled: bool = True
    imbalanced: bool = False

    def draw(self, data: Dataset, seed: int) -> CleanImages:
        """Draw images; the same for a seed, and none of them was trained on."""
        chosen, _ = self._split(data, seed)
        labels = data.test_labels[chosen] if self.labelled else None
        return CleanImages(data.test_images[chosen], labels, asdict(self))

    def left(self, data: Dataset, seed: int) -> Tensor:
        """Indices (M,) of the test images that ``draw`` does not take, in an order of its own."""
        return self._split(data, seed)[1]

    def _split(self, data: Dataset, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(data.test_images), generator=generator)
        balanced = order[: self.images]
        chosen = self._long_tail(order, data, generator) if self.imbalanced else balanced
        return chosen, order[~torch.isin(order, chosen)]

    def _long_tail(self, order: Tensor, data: Dataset, generator: torch.Generator) -> Tensor:
        count = len(data.class_names)
        shares = TAIL ** torch.arange(count, dtype=torch.float64)
        quotas = (self.images * shares / shares.sum()).round().long().clamp(min=1)
        labels = data.test_labels[order]
        classes = torch.randperm(count, generator=generator)
        parts = [
            order[labels == label][:quota] for label, quota in zip(classes, quotas, strict=True)
        ]
        return torch.cat(parts)


def hand_over(
    checkpoint: Path, clean: CleanImages, options: LoadOptions | None = None
) -> tuple[Suspect, CleanSet]:
    """Load a model of a zoo as its auditor would: by ``load``, from two files, and nothing else.

    The files get names of their own, because the model's name and its neighbours tell the attack.
    """
    with TemporaryDirectory() as folder:
        suspect = Path(folder) / f"suspect{checkpoint.suffix}"
        shutil.copyfile(checkpoint, suspect)
        clean_file = Path(folder) / "clean.npz"
        clean.write(clean_file)
        return load(suspect, clean_file, options)

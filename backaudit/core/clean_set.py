"""The auditor's trusted images."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backaudit.core.suspect import as_input


@dataclass(frozen=True)
class CleanSet:
    """Images the auditor trusts, at the suspect's resolution, with a label each.

    Args:
        images: (N, C, H, W) uint8 on the CPU.
        labels: (N,) int64 on the CPU, indices of the suspect's outputs.
        labelled: False if ``labels`` are the suspect's own predictions.
        source: where the images came from, for the report.
        class_matching: how the labels were matched to outputs, for the report.
        accuracy: share of images the suspect classifies as labelled; None if not labelled.
    """

    images: Tensor
    labels: Tensor
    labelled: bool
    source: str
    class_matching: str
    accuracy: float | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_present(self) -> int:
        """Number of classes that have at least one image."""
        return int(self.labels.unique().numel())

    @property
    def sha256(self) -> str:
        """Digest of the pixels and the labels, in hexadecimal."""
        digest = hashlib.sha256(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()

    def take(self, indices: Tensor) -> "CleanSet":
        """The images at ``indices`` (M,), as a clean set of their own."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def split(self, fraction: float = 0.5, seed: int = 0) -> tuple["CleanSet", "CleanSet"]:
        """Split each class into a part to fit on and a part held out, the same for a seed.

        Args:
            fraction: share of each class to fit on, in (0, 1); the held-out part gets the rest.
            seed: of the permutation.
        """
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)
        order = order[self.labels[order].argsort(stable=True)]
        counts = torch.bincount(self.labels)
        first = counts.cumsum(0) - counts
        rank = torch.arange(len(self)) - first[self.labels[order]]
        # Rounding the running quota within a class sends a class's only image to the first part.
        quota = torch.floor((rank + 1) * fraction + 0.5) - torch.floor(rank * fraction + 0.5)
        fit = quota > 0
        return self.take(order[fit].sort().values), self.take(order[~fit].sort().values)

    def balanced(self, size: int, generator: torch.Generator) -> Tensor:
        """Indices (size,) with as many images of each present class, give or take one.

        A class with too few images repeats them. Without the balance a long-tailed clean set makes
        its head class look like a target.
        """
        classes = self.labels.unique()
        classes = classes[torch.randperm(len(classes), generator=generator)]
        drawn = []
        for position, label in enumerate(classes):
            wanted = len(range(position, size, len(classes)))
            own = (self.labels == label).nonzero().flatten()
            own = own[torch.randperm(len(own), generator=generator)]
            drawn.append(own.repeat(-(-wanted // len(own)))[:wanted])
        return torch.cat(drawn)

    def batches(self, size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images in [0, 1] (B, C, H, W), labels (B,)) on ``device``, in order."""
        for images, labels in zip(self.images.split(size), self.labels.split(size), strict=True):
            yield as_input(images, device), labels.to(device)

"""A folder or an archive of clean images -> the images at their native size, and their labels."""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from backaudit.core.errors import CleanSetError
from backaudit.loading.clean_images.arrays import find_in_archive
from backaudit.loading.clean_images.found import Found, counted

FEWEST = 20
FEW = 50
# What networks for photographs usually scale to before they cut out the middle.
SHORTER_SIDE = 256
LAYOUTS = (
    "Give a folder of class folders, a flat folder with or without a labels.csv, or an .npz file."
)
Label = TypeVar("Label", str, int)


@dataclass(frozen=True)
class RawImages:
    """Clean images as they were found. At most one of ``labels`` and ``indices`` is given.

    Args:
        images: uint8 (C, H, W) each, C 1 or 3, at their own size.
        labels: class name of each image, as folder names or a file state it.
        indices: class number of each image, where a file states numbers.
        source: where they came from, for the report.
        notes: what was left out, converted or is too little, one sentence each.
    """

    images: tuple[Tensor, ...]
    labels: tuple[str, ...] | None
    indices: tuple[int, ...] | None
    source: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> bool:
        """Whether the images came with labels."""
        return self.labels is not None or self.indices is not None

    def spread(self, count: int) -> "RawImages":
        """At most ``count`` of the images, evenly spread over their order."""
        chosen = torch.linspace(0, len(self) - 1, min(count, len(self))).long().tolist()
        images = tuple(self.images[index] for index in chosen)
        return RawImages(images, _at(self.labels, chosen), _at(self.indices, chosen), self.source)

    @property
    def uniform_size(self) -> tuple[int, int] | None:
        """Height and width, if all images have the same."""
        sizes = {(image.shape[1], image.shape[2]) for image in self.images}
        return sizes.pop() if len(sizes) == 1 else None


def read_images(
    source: Path, *, max_images: int | None = None, shorter_side: int = SHORTER_SIDE
) -> RawImages:
    """Read clean images from a folder or an ``.npz`` file.

    Args:
        source: the folder or file.
        max_images: of more, a class-balanced subset is taken, always the same one.
        shorter_side: an image file whose shorter side is longer than this is shrunk to it.

    Raises:
        CleanSetError: if there is nothing to use, or something cannot be read.
    """
    found = _find(source, shorter_side)
    _require_enough(found.count, source, "image")
    chosen = class_balanced(found.labels or found.indices, found.count, max_images)
    with warnings.catch_warnings():
        # Damaged metadata and large pictures: reading has limits of its own, which raise.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        images, conversions = found.decode(chosen)
    distinct = len({image.numpy().tobytes() for image in images})
    _require_enough(distinct, source, "different image")
    subset = f"{len(chosen)} of {found.count}" if len(chosen) < found.count else str(found.count)
    labels, indices = _at(found.labels, chosen), _at(found.indices, chosen)
    return RawImages(
        images=images,
        labels=labels,
        indices=indices,
        source=f"{source} ({found.kind}; {subset} images)",
        notes=(*found.notes, *conversions, *_weaknesses(labels or indices, len(images), distinct)),
    )


def class_balanced(labels: Sequence[object] | None, count: int, limit: int | None) -> list[int]:
    """Positions of at most ``limit`` of ``count`` images, taken from each class in turn."""
    if limit is None or limit >= count:
        return list(range(count))
    turns: Counter[object] = Counter()
    queue: list[tuple[int, int]] = []
    for index in torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist():
        label = None if labels is None else labels[index]
        queue.append((turns[label], index))
        turns[label] += 1
    queue.sort(key=lambda place: place[0])
    return sorted(index for _, index in queue[:limit])


def _find(source: Path, shorter_side: int) -> Found:
    if source.is_dir():
        # Only here: arrays are read without a decoder of pictures.
        from backaudit.loading.clean_images.folders import find_in_folder

        return find_in_folder(source, shorter_side)
    if not source.exists():
        raise CleanSetError(f"{source} does not exist. {LAYOUTS}")
    if source.suffix.lower() == ".npz":
        return find_in_archive(source)
    raise CleanSetError(f"{source} is neither a folder nor an .npz file. {LAYOUTS}")


def _require_enough(count: int, source: Path, noun: str) -> None:
    if not count:
        raise CleanSetError(f"{source} holds no images. {LAYOUTS}")
    if count < FEWEST:
        raise CleanSetError(
            f"{source} holds only {counted(count, noun)}; at least {FEWEST} are needed, and "
            f"{FEW} or more for evidence worth having."
        )


def _at(values: tuple[Label, ...] | None, chosen: list[int]) -> tuple[Label, ...] | None:
    return None if values is None else tuple(values[index] for index in chosen)


def _weaknesses(labels: Sequence[object] | None, count: int, distinct: int) -> Iterator[str]:
    if count < FEW:
        yield f"Only {count} clean images: the evidence is weak; {FEW} or more are better."
    if distinct < count:
        yield f"{counted(count - distinct, 'image')}: exact copies of others."
    if labels is not None and len(set(labels)) == 1:
        yield "All clean images are of one class: detectors see less than with several."

"""What a source of clean images holds, known before a single image is decoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from backaudit.core.printable import counted as counted

Decoded = tuple[tuple[Tensor, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Found:
    """Images that could be read. At most one of ``labels`` and ``indices`` is given.

    Args:
        kind: of layout, for the report, such as ``class folders``.
        count: number of images.
        labels: class name of each image.
        indices: class number of each image.
        notes: what was ignored, one sentence each.
        decode: positions -> those images, uint8 (C, H, W), and what had to be done to them.
    """

    kind: str
    count: int
    labels: tuple[str, ...] | None
    indices: tuple[int, ...] | None
    notes: tuple[str, ...]
    decode: Callable[[Sequence[int]], Decoded]

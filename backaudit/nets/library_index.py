"""Which networks of torchvision and timm have such tensors? Told without building them.

Building all of timm to see which network fits takes a minute, so ``library_index.json`` holds a
fingerprint of each network, without what a user may change: classes, image channels, image size.
What it proposes is built and compared like any other candidate, so an index made with another
version of a library can miss a network but never mistake one.
``python -m backaudit.nets.write_index`` writes it.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources

from backaudit.nets.architectures.candidate import Shapes

INDEX = "library_index.json"
HEADS = ("fc.", "head.", "head_dist.", "classifier.", "last_linear.")
RESIZABLE = ("pos_embed", "relative_position", "attn_mask", "rel_pos", "rope")
STEM_CHANNELS = 4
DIGITS = 12


def fingerprint(shapes: Shapes) -> str:
    """A short digest of names and shapes, without what classes, channels and image size change."""
    lines = sorted(
        f"{name}:{_settled(name, shape)}"
        for name, shape in shapes.items()
        if not name.startswith(HEADS) and not name.endswith("num_batches_tracked")
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:DIGITS]


def _settled(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if any(part in name for part in RESIZABLE):
        return ()
    if len(shape) == 4 and shape[1] <= STEM_CHANNELS:
        return (shape[0], 0, *shape[2:])
    return shape


@cache
def library_index(library: str) -> Mapping[str, list[str]]:
    """Fingerprint -> names of the networks of ``torchvision`` or ``timm`` that have it."""
    text = resources.files("backaudit.nets").joinpath(INDEX).read_text()
    networks: dict[str, list[str]] = json.loads(text)[library]
    return networks


def indexed_names(library: str, shapes: Shapes) -> tuple[str, ...]:
    """Names of a library's networks whose tensors are like these; does not import the library."""
    return tuple(library_index(library).get(fingerprint(shapes), ()))

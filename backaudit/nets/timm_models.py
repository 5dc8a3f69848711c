"""The classifiers of timm, where it is installed."""

import os
from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib.util import find_spec
from math import isqrt
from types import ModuleType
from typing import Any

from torch import nn

from backaudit.nets.architectures.candidate import Candidate, Shapes
from backaudit.nets.library_index import indexed_names
from backaudit.nets.torchvision_models import torchvision_models

# Arguments of timm's constructors that a configuration may state; all others are ignored.
ARGUMENTS = ("img_size", "patch_size", "embed_dim", "depth", "num_heads")
LARGEST = 4096


@cache
def timm_installed() -> bool:
    """Whether timm can be imported."""
    return find_spec("timm") is not None


@cache
def timm() -> ModuleType:
    """Import timm, after torchvision and without any access to the network."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    torchvision_models()
    import timm as imported

    module: ModuleType = imported
    return module


def timm_candidates(shapes: Shapes) -> Iterator[Candidate]:
    """Propose the networks of timm with such tensors; nothing where timm is not installed."""
    names = indexed_names("timm", shapes)
    if names and timm_installed():
        for name in names:
            if timm().is_model(name):
                yield timm_candidate(name, shapes)


def timm_candidate(
    name: str, shapes: Shapes, arguments: Mapping[str, object] | None = None
) -> Candidate:
    """Propose one network of timm, with classes, channels and image size read from the shapes.

    Args:
        name: that timm knows.
        shapes: of the tensors.
        arguments: what a configuration states for its constructor; only plain settings are taken.
    """
    settings = timm().get_pretrained_cfg(name)
    given = {key: value for key, value in (arguments or {}).items() if _harmless(key, value)}
    size = _image_size(shapes)
    options: dict[str, Any] = {**_read(shapes, settings), **given}
    if size is not None:
        options.setdefault("img_size", size)
    usual = settings.input_size[-1] if settings is not None else None
    stated = options.get("img_size")
    build = partial(_build, name, options)
    return Candidate(f"timm {name}", build, stated if isinstance(stated, int) else usual)


def _harmless(key: str, value: object) -> bool:
    """Whether a stated argument is a plain setting that cannot ask for more than files hold."""
    if isinstance(value, int):
        return key in ARGUMENTS and 0 < value <= LARGEST
    return key == "global_pool" and isinstance(value, str)


def _build(name: str, options: Mapping[str, Any]) -> nn.Module:
    network: nn.Module = timm().create_model(name, pretrained=False, **options)
    return network


def _read(shapes: Shapes, settings: Any) -> dict[str, Any]:
    """Classes and channels, where the default settings say which tensors tell."""
    options: dict[str, Any] = {}
    if settings is None:
        return options
    head, stem = _named(settings.classifier), _named(settings.first_conv)
    rows = shapes.get(f"{head}.weight", ())
    if rows:
        options["num_classes"] = rows[0]
    first = shapes.get(f"{stem}.weight", ())
    if len(first) == 4:
        options["in_chans"] = first[1]
    return options


def _named(layers: object) -> str:
    """A layer's name from a name or several."""
    if isinstance(layers, list | tuple):
        return str(layers[0]) if layers else ""
    return str(layers or "")


def _image_size(shapes: Shapes) -> int | None:
    """Height and width that the position embedding of a transformer was made for."""
    positions = shapes.get("pos_embed", ())
    patches = shapes.get("patch_embed.proj.weight", ())
    if len(positions) != 3 or len(patches) != 4:
        return None
    extra = sum(name in shapes for name in ("cls_token", "dist_token"))
    return next(
        (
            isqrt(count) * patches[2]
            for count in (positions[1] - extra, positions[1])
            if count > 0 and isqrt(count) ** 2 == count
        ),
        None,
    )

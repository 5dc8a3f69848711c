"""A TorchScript program, as its archive holds it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorName:
    """A tensor, by its name among those that were read.

    Args:
        name: dotted.
    """

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class ScriptObject:
    """A module or another object of a class that the program defines.

    Args:
        kind: qualified name of its class, ``__torch__...``.
        attributes: plain values, lists, tuples and dicts of them, ``TensorName`` and further
            objects.
    """

    kind: str
    attributes: Mapping[str, object]


@dataclass(frozen=True)
class ScriptProgram:
    """Source text and what it works on.

    Args:
        sources: text by path, such as ``__torch__/torch/nn/modules/conv.py``.
        root: the module that was saved.
        constants: what the sources call ``CONSTANTS.c0`` and so on.
    """

    sources: Mapping[str, str]
    root: ScriptObject
    constants: tuple[object, ...]

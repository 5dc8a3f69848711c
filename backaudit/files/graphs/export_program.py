"""A program of ``torch.export``, as its archive holds it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GraphName:
    """What a node of the graph gave, or an input of the graph.

    Args:
        name: within the graph.
    """

    name: str


@dataclass(frozen=True, slots=True)
class NumberType:
    """A type of number.

    Args:
        name: torch's, without ``torch.``.
    """

    name: str


@dataclass(frozen=True, slots=True)
class ExportNode:
    """One call.

    Args:
        target: dotted name of the operator, such as ``torch.ops.aten.conv2d.default``.
        args: by position: plain values, ``GraphName``, ``NumberType`` and lists of them.
        kwargs: by name, likewise.
        outputs: names of the results; "" for one that the graph drops.
        several: whether the call gives a list or a tuple.
    """

    target: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    outputs: tuple[str, ...]
    several: bool


@dataclass(frozen=True)
class ExportProgram:
    """A graph and what it works on.

    Args:
        nodes: in the order in which they run.
        image: name of the input.
        sizes: of the input; None where any will do.
        tensors: graph name -> name of the tensor in the file.
        outputs: names of the results.
    """

    nodes: tuple[ExportNode, ...]
    image: str
    sizes: tuple[int | None, ...]
    tensors: Mapping[str, str]
    outputs: tuple[str, ...]

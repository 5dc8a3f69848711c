"""A program of ``torch.export`` as a differentiable network with real layers."""

import math
import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.graphs.export_check import ASSERTIONS
from backaudit.files.graphs.export_check import operator as operator_name
from backaudit.files.graphs.export_program import ExportNode, ExportProgram, GraphName, NumberType
from backaudit.programs.fitting import FAULTS, Size, broken, checked, fitted
from backaudit.programs.graph import Recorder, stored_as
from backaudit.programs.interface import Built
from backaudit.programs.operators import apply, unsupported
from backaudit.programs.per_image import SingleRecorder
from backaudit.programs.results import logits_of
from backaudit.programs.shapes import FixedBatchError

ARITHMETIC: dict[str, Callable[..., Any]] = {
    **{
        f"_operator.{name}": getattr(operator, name)
        for name in (
            *("add", "sub", "mul", "floordiv", "mod", "neg", "truediv", "eq", "ne", "lt", "le"),
            *("gt", "ge", "and_", "or_", "getitem"),
        )
    },
    "torch.sym_int": int,
    "torch.sym_float": float,
    "torch.sym_min": min,
    "torch.sym_max": max,
    "torch.sym_not": operator.not_,
    "math.ceil": math.ceil,
    "math.floor": math.floor,
    "math.trunc": math.trunc,
}


def build(
    program: ExportProgram, state: Mapping[str, Tensor], input_size: Size | None = None
) -> Built:
    """Record a program's graph for batches of any size.

    Args:
        program: as ``read_export`` gives it.
        state: its tensors by name; floating-point ones become float32.
        input_size: (H, W) of the images; None for what the program was exported with.

    Raises:
        CheckpointError: if it uses what is not supported, or was made for one batch size in a way
            that cannot be undone.
    """
    single = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }
    if len(program.sizes) != 4:
        raise CheckpointError(f"takes an input of {len(program.sizes)} dimensions, and not images")
    _, channels, height, width = program.sizes
    attempt = partial(_recorded, program, single)
    if channels is None or height is None or width is None:
        return fitted(attempt, single, input_size)
    size = (height, width)
    try:
        return checked(attempt(channels, (size, size)), channels, size)
    except FixedBatchError:
        if program.sizes[0] != 1:
            raise
    alone = _recorded(program, single, channels, (size, size), SingleRecorder)
    return checked(alone, channels, size)


def _recorded(
    program: ExportProgram,
    state: Mapping[str, Tensor],
    channels: int,
    sizes: tuple[Size, Size],
    kind: type[Recorder] = Recorder,
) -> fx.GraphModule:
    recorder = kind(state, program.sizes[0] or 1)
    known: dict[str, Any] = {
        program.image: recorder.image(channels, sizes[0], torch.float32, other=sizes[1])
    }
    for graph_name, name in program.tensors.items():
        known[graph_name] = _Stored(name)
    graph = _Graph(recorder, state, known)
    try:
        for node in program.nodes:
            graph.follow(node)
        results = [graph.value(GraphName(name)) for name in program.outputs]
        return recorder.finish(logits_of(results))
    except FAULTS as error:
        raise broken(error) from error


class _Stored(str):
    """Name of a tensor that no node has used yet."""

    __slots__ = ()


class _Graph:
    """A graph being followed.

    Args:
        recorder: of the network.
        state: tensors by name.
        known: what each name of the graph stands for.
    """

    def __init__(
        self, recorder: Recorder, state: Mapping[str, Tensor], known: dict[str, Any]
    ) -> None:
        self.recorder, self.state, self.known = recorder, state, known

    def follow(self, node: ExportNode) -> None:
        """Record one call."""
        name = operator_name(node.target)
        if name in ASSERTIONS:
            return
        args = [self.value(arg) for arg in node.args]
        kwargs = {key: self.value(arg) for key, arg in node.kwargs.items()}
        if node.target in ARITHMETIC:
            result = self.recorder.call(ARITHMETIC[node.target], *args, **kwargs)
        elif name:
            result = apply(self.recorder, name, args, kwargs)
        else:
            raise unsupported(node.target)
        self._keep(node, result)

    def _keep(self, node: ExportNode, result: Any) -> None:
        results = result if isinstance(result, list | tuple) and node.several else [result]
        if len(results) < len(node.outputs):
            raise CheckpointError(
                f"has a call of {printable(node.target)} with more results than it gives"
            )
        self.known |= dict(zip(node.outputs, results, strict=False))

    def value(self, arg: object) -> Any:
        """A plain value or a node."""
        if isinstance(arg, GraphName):
            if arg.name not in self.known:
                raise CheckpointError(
                    f"holds a graph that uses {printable(arg.name)} before it is made"
                )
            found = self.known[arg.name]
            return (
                stored_as(self.recorder, self.state, str(found))
                if isinstance(found, _Stored)
                else found
            )
        if isinstance(arg, NumberType):
            return getattr(torch, arg.name)
        return [self.value(each) for each in arg] if isinstance(arg, list) else arg

"""Equal weights that an ONNX exporter stored once, each given a place of its own.

torch's exporter keeps one of several equal tensors, such as the biases of a residual block's last
norm and of its shortcut's, whose gradients are the same, and makes the others of it by Identity.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.readers.onnx import OnnxProgram
from backaudit.files.readers.onnx_tensors import FLOATS
from backaudit.files.readers.onnx_wire import BYTES, fields, varint
from backaudit.loading.weights.checkpoint import Checkpoint, read_checkpoint

# Fields of ModelProto, GraphProto, NodeProto and TensorProto.
GRAPH, NODE, WEIGHT = 7, 1, 5
OUTPUT, KIND = 2, 4
NAME, DATA = 8, 9
# Until then a weight had to be among the graph's inputs as well.
WEIGHTS_ALONE = 4


def untied(checkpoint: Checkpoint, limits: Limits) -> tuple[Checkpoint, tuple[str, ...]]:
    """The same network with no weight that is made of another one.

    Args:
        checkpoint: of any format.
        limits: with which it was read.

    Returns:
        It, or what is read of its bytes with all weights stored apart, under the same path; and the
        names of the weights that are stored apart now.
    """
    program, file = checkpoint.program, checkpoint.source
    # What lies beside the graph is left alone.
    if not isinstance(program, OnnxProgram) or not isinstance(file, OpenedFile):
        return checkpoint, ()
    copies = _copies(program.model)
    stored = _stored(file.data, set(copies.values()))
    copies = {name: weight for name, weight in copies.items() if weight in stored}
    if not copies:
        return checkpoint, ()
    with TemporaryDirectory() as folder:
        apart = Path(folder) / checkpoint.path.name
        apart.write_bytes(_apart(file.data, copies, stored))
        again = read_checkpoint(apart, limits=limits)
    return replace(again, path=checkpoint.path), tuple(copies)


def _copies(model: Any) -> dict[str, str]:
    """Name of each value that is a weight under another name -> name of the weight."""
    if model.ir_version < WEIGHTS_ALONE:
        return {}
    weights = {proto.name for proto in model.graph.initializer if proto.data_type in FLOATS}
    same = (node for node in model.graph.node if node.op_type == "Identity")
    return {node.output[0]: node.input[0] for node in same if node.input[0] in weights}


def _stored(data: memoryview, wanted: set[str]) -> dict[str, tuple[int, int]]:
    """Where in a file the wanted weights lie whose numbers are raw data within it."""
    found = {}
    for number, _, _, begin, stop in _graph(data):
        if number == WEIGHT:
            inside = {field[0]: field[3:] for field in fields(data, begin, stop)}
            name = _text(data, inside.get(NAME))
            if name in wanted and DATA in inside:
                found[name] = (begin, stop)
    return found


def _apart(
    data: memoryview, copies: Mapping[str, str], stored: Mapping[str, tuple[int, int]]
) -> bytes:
    """A model whose copies are weights; all other bytes are as they were, in their order."""
    made = bytearray()
    for number, _, first, begin, stop in fields(data, 0, len(data)):
        if number != GRAPH:
            made += data[first:stop]
            continue
        graph = bytearray()
        for inner, _, start, inside, end in fields(data, begin, stop):
            if not (inner == NODE and _is_copy(data, inside, end, copies)):
                graph += data[start:end]
        for name, weight in copies.items():
            graph += _field(WEIGHT, _renamed(data, *stored[weight], name))
        made += _field(GRAPH, graph)
    return bytes(made)


def _is_copy(data: memoryview, begin: int, stop: int, copies: Mapping[str, str]) -> bool:
    inside = {field[0]: field[3:] for field in fields(data, begin, stop)}
    same = _text(data, inside.get(KIND)) == "Identity"
    return same and _text(data, inside.get(OUTPUT)) in copies


def _renamed(data: memoryview, begin: int, stop: int, name: str) -> bytes:
    kept = (
        data[first:end] for number, _, first, _, end in fields(data, begin, stop) if number != NAME
    )
    return b"".join(kept) + _field(NAME, name.encode())


def _graph(data: memoryview) -> Iterator[tuple[int, int, int, int, int]]:
    for number, _, _, begin, stop in fields(data, 0, len(data)):
        if number == GRAPH:
            yield from fields(data, begin, stop)


def _text(data: memoryview, within: tuple[int, ...] | None) -> str:
    return bytes(data[slice(*within)]).decode() if within else ""


def _field(number: int, value: bytes | bytearray) -> bytes:
    return varint(number << 3 | BYTES) + varint(len(value)) + bytes(value)

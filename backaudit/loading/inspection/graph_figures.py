"""Figures of the graph that a file holds, told without building it, and without torch."""

from collections import Counter
from collections.abc import Iterable, Sequence

from backaudit.files.graphs.export_program import ExportProgram
from backaudit.files.readers.onnx import OnnxProgram

COLOURS = (1, 3)
ATEN = "torch.ops.aten."


def operators(program: object) -> dict[str, int]:
    """Operators of a program's graph, the most frequent first; empty without a graph.

    TorchScript has source text and no graph; its operators are told only once it is followed.
    """
    return dict(Counter(_operators(program)).most_common())


def _operators(program: object) -> Iterable[str]:
    if isinstance(program, OnnxProgram):
        return (node.op_type for node in program.model.graph.node)
    if isinstance(program, ExportProgram):
        return (node.target.removeprefix(ATEN).partition(".")[0] for node in program.nodes)
    return ()


def image_size(program: object) -> tuple[int, int] | None:
    """Height and width in pixels that a graph was made for; None if it does not say."""
    if isinstance(program, ExportProgram):
        return _height_and_width(program.sizes)
    if not isinstance(program, OnnxProgram):
        return None
    graph = program.model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in weights]
    shapes = [each.type.tensor_type.shape.dim for each in inputs]
    return _height_and_width([size.dim_value or None for size in shapes[0]]) if shapes else None


def _height_and_width(sizes: Sequence[int | None]) -> tuple[int, int] | None:
    """From (N, C, H, W), or (N, H, W, C) as other frameworks have it."""
    if len(sizes) != 4:
        return None
    pair = sizes[2:] if sizes[1] in COLOURS or sizes[3] not in COLOURS else sizes[1:3]
    height, width = pair
    return (height, width) if height and width else None

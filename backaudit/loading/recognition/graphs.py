"""A file's own graph as the network, whatever architecture its tensors would fit."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.graphs.export_program import ExportProgram
from backaudit.files.graphs.script_program import ScriptProgram
from backaudit.files.readers.onnx import OnnxProgram
from backaudit.loading.weights.checkpoint import Checkpoint
from backaudit.loading.weights.handover import Handed
from backaudit.loading.weights.isolated import Task, isolated
from backaudit.programs import export, torchscript
from backaudit.programs.interface import Built
from backaudit.programs.onnx import evaluation
from backaudit.programs.onnx import network as onnx

# Beside the weights, of which some operators need a copy; usual networks take under a tenth.
WORKING_MEMORY = 2**30
COPIES = 3
SECONDS = 60.0
TASK = Task(
    "to make a network of its graph",
    "no usual network needs as much: export it again, or save the state dict",
)


@dataclass(frozen=True)
class Graph:
    """What a network is made of.

    Args:
        program: as a reader gives it.
        state: its tensors by name.
        size: (H, W) of the images, where the program leaves it open; None if nobody says.
    """

    program: object
    state: Mapping[str, Tensor]
    size: tuple[int, int] | None = None


def graph_of(checkpoint: Checkpoint, size: tuple[int, int] | None = None) -> Built:
    """Make a network of a checkpoint's graph.

    What is calculated on the way was chosen by whoever made the file, so it is tried in a process
    of its own first, bounded in memory and time.

    Args:
        checkpoint: with a program.
        size: (H, W) of the images, where the graph leaves it open; None if nobody says.

    Raises:
        CheckpointError: if it uses what is not supported, or takes too long or too much memory.
    """
    graph = Graph(checkpoint.program, checkpoint.state, size)
    weights = sum(tensor.nbytes for tensor in checkpoint.state.values())
    try:
        isolated(
            _tried, graph, memory=WORKING_MEMORY + COPIES * weights, seconds=SECONDS, task=TASK
        )
        return _built(graph)
    except CheckpointError as error:
        raise CheckpointError(f"{printable(checkpoint.path, limit=200)} {error}.") from error


def _tried(graph: Graph) -> Handed:
    _built(graph)
    return Handed()


def _built(graph: Graph) -> Built:
    program, state, size = graph.program, graph.state, graph.size
    if isinstance(program, OnnxProgram):
        return onnx.build(program, state, size)
    if isinstance(program, ScriptProgram):
        return torchscript.build(program, state, size)
    if isinstance(program, ExportProgram):
        return export.build(program, state, size)
    raise CheckpointError("holds a graph of no known kind")


def verify_graph(checkpoint: Checkpoint, network: nn.Module, inputs: Tensor) -> str:
    """Compare the network with the reference evaluator, where there is one.

    Args:
        checkpoint: the graph's file.
        network: what was made of it, before anything at its end was left out.
        inputs: (N, C, H, W), prepared as the graph takes them.

    Returns:
        What was found, in a sentence; empty where there is no reference.

    Raises:
        CheckpointError: if they differ.
    """
    program = checkpoint.program
    if not isinstance(program, OnnxProgram):
        return ""
    try:
        worst = evaluation.verify(program, checkpoint.state, network, inputs)
    except CheckpointError as error:
        raise CheckpointError(f"{printable(checkpoint.path, limit=200)} {error}.") from error
    return (
        "The network made of the graph answers clean images as the reference evaluator of ONNX "
        f"does: outputs differ by at most {worst:.1e} of the largest."
    )

"""An ONNX graph, recorded operator by operator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.programs.graph import FAILURES, Node, Recorder
from backaudit.programs.interface import Built
from backaudit.programs.onnx.attention import ATTENTION
from backaudit.programs.onnx.borders import BORDERS
from backaudit.programs.onnx.constants import CONSTANTS, constant, stored
from backaudit.programs.onnx.elementwise import ELEMENTWISE
from backaudit.programs.onnx.images import OPEN_SIZE, ImageInput
from backaudit.programs.onnx.layers import LAYERS, linear
from backaudit.programs.onnx.pieces import PIECES
from backaudit.programs.onnx.reductions import REDUCTIONS
from backaudit.programs.onnx.resizing import RESIZING
from backaudit.programs.onnx.shapes import SHAPES, transposed
from backaudit.programs.onnx.step import EXPORT_AGAIN, Scene, Step
from backaudit.programs.onnx.values import UnsupportedError, Value, Weight, shape, shapes
from backaudit.programs.onnx.windows import POOLING

OPERATORS = {
    **{**ELEMENTWISE, **LAYERS, **POOLING, **SHAPES, **PIECES, **BORDERS},
    **{**REDUCTIONS, **RESIZING, **CONSTANTS, **ATTENTION},
}
NESTED = ("If", "Loop", "Scan")


@dataclass(frozen=True)
class Trial:
    """A way to read a graph.

    Args:
        batches: sizes at which it is followed.
        fixed: whether it was written for the first of them alone.
        single: whether it is given one image at a time.
    """

    batches: tuple[int, int]
    fixed: bool
    single: bool = False


class Recording:
    """A graph being recorded.

    Args:
        model: ``onnx.ModelProto`` without its weights.
        state: its tensors by name.
        images: its input.
        trial: the way to read it.
        size: (H, W) of the images, where the graph leaves it open.
    """

    def __init__(
        self,
        model: Any,
        state: Mapping[str, Tensor],
        images: ImageInput,
        trial: Trial,
        size: tuple[int, int] | None,
    ) -> None:
        self._graph = model.graph
        self._state = state
        self._images = images
        self.trial = trial
        self._opset = next(e.version for e in model.opset_import if e.domain in ("", "ai.onnx"))
        given = size or OPEN_SIZE
        self.size = (images.height or given[0], images.width or given[1])
        recorder = Recorder(state)
        image = recorder.image(images.channels, self.size, torch.float32, trial.batches)
        self._scene = Scene(recorder, image, trial.batches, trial.fixed)
        self._users = _users(self._graph)

    def built(self) -> Built:
        """The network.

        Raises:
            CheckpointError: if the graph cannot be read in this way, or has no logits.
        """
        values = self._scene.values
        self._start()
        for node in self._graph.node:
            if any(name not in values for name in node.output if name in self._users):
                self._run(node)
        name, output = self._output()
        classes = shape(output)[1]
        network = self._scene.recorder.finish(output)
        notes = [*self._images.notes(), *self._scene.notes]
        if len(self._graph.output) > 1:
            notes.append(f"The graph has several outputs; {printable(name)} was taken.")
        size = self._images.size
        return Built(network, self._images.channels, size, classes, tuple(notes))

    def _start(self) -> None:
        values, scene = self._scene.values, self._scene
        for proto in self._graph.initializer:
            if proto.name not in self._state:
                raise CheckpointError(f"lacks the weight {printable(proto.name)!r} of its graph")
            values[proto.name] = stored(proto.name, self._state[proto.name])
        image = scene.image
        if self._images.flat:
            image = scene.recorder.call(torch.squeeze, image, 1)
        elif self._images.channels_last:
            image = scene.recorder.call(torch.permute, image, (0, 2, 3, 1))
        values[self._images.name] = image

    def _run(self, node: Any) -> None:
        step = self._step(node)
        try:
            if self._fused(step, node):
                return
            made = self._made(step)
        except UnsupportedError:
            raise
        except (*FAILURES, CheckpointError, KeyError) as error:
            raise CheckpointError(
                f"has a graph whose node {printable(node.name)!r} ({printable(node.op_type)}) "
                f"does not fit its inputs ({printable(error, limit=200)})"
            ) from error
        results = made if isinstance(made, tuple) else (made,)
        self._scene.values |= dict(zip(node.output, results, strict=False))

    def _made(self, step: Step) -> Value | tuple[Value, ...]:
        if step.kind == "Constant":
            return constant(step, self._state)
        made: Value | tuple[Value, ...] = OPERATORS[step.kind](step)
        return made

    def _step(self, node: Any) -> Step:
        from onnx import helper

        values = self._scene.values
        return Step(
            scene=self._scene,
            kind=node.op_type,
            name=node.name,
            version=_version(node, self._opset),
            attributes={a.name: helper.get_attribute_value(a) for a in node.attribute},
            inputs=tuple(values[name] if name else None for name in node.input),
            outputs=tuple(node.output),
            used=frozenset(self._users),
        )

    def _fused(self, step: Step, node: Any) -> bool:
        """Record a product and the sum that alone uses it as one linear layer."""
        users = self._users.get(node.output[0], [])
        weight = step.optional(1)
        if step.kind != "MatMul" or len(users) != 1 or not isinstance(weight, Weight):
            return False
        following = users[0]
        if following is None or following.op_type != "Add" or len(shape(weight)) != 2:
            return False
        others = [name for name in following.input if name != node.output[0]]
        bias = self._scene.values.get(others[0]) if len(others) == 1 else None
        if not isinstance(bias, Weight) or shape(bias) != shape(weight)[1:]:
            return False
        made = linear(step, step.x, transposed(step, weight, (1, 0)), bias)
        self._scene.values |= {following.output[0]: made, node.output[0]: made}
        return True

    def _output(self) -> tuple[str, Node]:
        """The first output of a row for each image; what follows an image of size 1 is dropped."""
        for value in self._graph.output:
            made = self._scene.values[value.name]
            sizes = shapes(made)
            if not isinstance(made, Node) or sizes[0][:1] != self.trial.batches[:1]:
                continue
            if len(sizes[0]) > 1 and sizes[0][2:] == (1,) * len(sizes[0][2:]):
                flat = len(sizes[0]) > 2
                recorder = self._scene.recorder
                return value.name, recorder.call(torch.flatten, made, 1) if flat else made
        found = ", ".join(str(shape(self._scene.values[v.name])) for v in self._graph.output)
        raise CheckpointError(
            f"has a graph whose output is not one row of logits for each image (but {found}): "
            "export the classifier alone"
        )


def _users(graph: Any) -> dict[str, list[Any]]:
    """The nodes that use each value; None for the graph's own output."""
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for value in graph.output:
        users.setdefault(value.name, []).append(None)
    return users


def _version(node: Any, opset: int) -> int:
    """The opset in which an operator last changed; refuses what is not supported."""
    from onnx import defs

    where = f"the operator {printable(node.op_type)} (node {printable(node.name)!r})"
    refused = f"uses {where}, which is not supported"
    if node.op_type not in OPERATORS and node.op_type != "Constant":
        why = "it holds graphs of its own; " if node.op_type in NESTED else ""
        raise UnsupportedError(f"{refused}: {why}{EXPORT_AGAIN}")
    try:
        schema = defs.get_schema(node.op_type, opset, "")
    except defs.SchemaError as error:
        raise UnsupportedError(f"{refused} in its opset {opset}: {EXPORT_AGAIN}") from error
    unknown = next((a.name for a in node.attribute if a.name not in schema.attributes), None)
    if unknown is not None:
        raise UnsupportedError(f"{refused}: attribute {printable(unknown)!r}; {EXPORT_AGAIN}")
    if len(node.input) > schema.max_input or not node.output:
        raise UnsupportedError(f"{refused}: it has too many inputs, or no output; {EXPORT_AGAIN}")
    return int(schema.since_version)

"""One operator of an ONNX graph, about to be recorded."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add, mul
from typing import Any

import torch
from torch import Tensor, nn

from backaudit.core.printable import printable
from backaudit.programs.graph import Node, Recorder
from backaudit.programs.onnx.values import (
    BatchError,
    Known,
    Shape,
    UnsupportedError,
    Value,
    Weight,
    shape,
    shapes,
)

# In the names of tensors that the file does not have, so that they meet none that it has.
OWN = "\0"
MOST_ELEMENTS = 2**28
EXPORT_AGAIN = "export the network again, or give its weights as a state dict"


@dataclass
class Scene:
    """What all operators of a graph share while it is recorded.

    Args:
        recorder: of the network.
        image: the network's input.
        batches: the two batch sizes at which everything is followed.
        fixed: whether the graph was written for the first of them alone.
        values: by name.
        notes: what was assumed, each once.
        constants: how many tensors were stored that are no weights.
    """

    recorder: Recorder
    image: Node
    batches: tuple[int, int]
    fixed: bool
    values: dict[str, Value] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    constants: int = 0

    def size(self, pair: tuple[int, int]) -> int | Node:
        """A whole number that may depend on the batch, as an argument.

        Args:
            pair: the number at either batch size.
        """
        if pair[0] == pair[1]:
            return pair[0]
        slope, rest = divmod(pair[1] - pair[0], self.batches[1] - self.batches[0])
        if rest:
            raise BatchError("has a number that depends on the batch size in an unusual way")
        node: Node = self.recorder.call(torch.Tensor.size, self.image, 0)
        node = node if slope == 1 else self.recorder.call(mul, node, slope)
        offset = pair[0] - slope * self.batches[0]
        if offset:
            node = self.recorder.call(add, node, offset)
        return node

    def sizes(self, pair: tuple[Sequence[int], Sequence[int]]) -> tuple[int | Node, ...]:
        """Whole numbers that may depend on the batch, as arguments."""
        return tuple(self.size(numbers) for numbers in zip(*pair, strict=True))

    def node(self, value: Value) -> Node:
        """A tensor to calculate with."""
        if isinstance(value, Weight):
            return self.recorder.tensor(value.name, value.tensor)
        if isinstance(value, Node):
            return value
        if value.same:
            return self._constant(value.worlds[0])
        return self._rows(value)

    def _rows(self, value: Known) -> Node:
        """Numbers whose rows are all alike, as many as the batch has."""
        one, other = value.worlds
        row = one[:1] if one.dim() else one
        if not one.dim() or not all(bool((tensor == row).all()) for tensor in value.worlds):
            raise BatchError("calculates with the batch size")
        sizes = (self.size((len(one), len(other))), *one.shape[1:])
        node: Node = self.recorder.call(torch.broadcast_to, self._constant(row), sizes)
        return node

    def _constant(self, tensor: Tensor) -> Node:
        self.constants += 1
        name = f"{OWN}constant_{self.constants}"
        return self.recorder.tensor(name, tensor.clone(), trainable=False)

    def argument(self, value: Value) -> Node | float:
        """A tensor or, where it is one known number, that number."""
        if isinstance(value, Known) and value.same and not value.worlds[0].dim():
            return value.worlds[0].item()
        return self.node(value)


@dataclass
class Step:
    """One operator.

    Args:
        scene: of the graph.
        kind: the operator's name.
        name: of the graph's node.
        version: of the operator: the opset in which it last changed.
        attributes: as they are in the file.
        inputs: None for one that is left out.
        outputs: names of what it makes.
        used: names that anything uses.
    """

    scene: Scene
    kind: str
    name: str
    version: int
    attributes: Mapping[str, Any]
    inputs: tuple[Value | None, ...]
    outputs: tuple[str, ...]
    used: frozenset[str]

    @property
    def recorder(self) -> Recorder:
        """Of the network."""
        return self.scene.recorder

    @property
    def x(self) -> Value:
        """The first input."""
        return self.given(0)

    def given(self, index: int) -> Value:
        """An input that must be there."""
        value = self.optional(index)
        if value is None:
            raise self.refusal("an input is missing")
        return value

    def optional(self, index: int) -> Value | None:
        """An input; None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def refusal(self, why: str) -> UnsupportedError:
        """The error that says why this operator cannot be used."""
        where = f"the operator {printable(self.kind)} (node {printable(self.name)!r})"
        return UnsupportedError(f"uses {where}, which is not supported: {why}; {EXPORT_AGAIN}")

    def only_first(self) -> None:
        """Refuse if any output but the first is used."""
        if any(output in self.used for output in self.outputs[1:]):
            raise self.refusal("its second output is used")

    def only(self, name: str, allowed: object) -> None:
        """Refuse an attribute with another value than the one that is supported."""
        value = self.attributes.get(name, allowed)
        if value != allowed:
            raise self.refusal(f"{name}={printable(value)}")

    def numbers(self, index: int, attribute: str = "") -> tuple[Any, ...] | None:
        """Numbers that an input or an attribute holds; None if it is left out.

        Args:
            index: of the input.
            attribute: its name in older opsets; "" if there was none.
        """
        if attribute in self.attributes:
            found = self.attributes[attribute]
            return tuple(found) if isinstance(found, list | tuple) else (found,)
        value = self.optional(index)
        if value is None:
            return None
        if isinstance(value, Known) and value.same:
            return tuple(value.worlds[0].reshape(-1).tolist())
        if isinstance(value, Weight):
            return tuple(value.tensor.reshape(-1).tolist())
        raise self.refusal("its settings depend on the image or on the batch")

    def call(self, function: Callable[..., Tensor], *values: Value | None, **options: Any) -> Value:
        """Calculate what is known, record the rest.

        Args:
            function: of tensors.
            values: its positional arguments.
            options: its keyword arguments, plain values.
        """
        if all(value is None or isinstance(value, Known) for value in values):
            return self._folded(function, values, options)
        args = [None if value is None else self.scene.argument(value) for value in values]
        node: Node = self.recorder.call(function, *args, **options)
        return node

    def record(
        self, function: Callable[..., Tensor], value: Value, *args: Any, **options: Any
    ) -> Node:
        """Record a function of a tensor and of plain values, or of numbers that grow."""
        node: Node = self.recorder.call(function, self.scene.node(value), *args, **options)
        return node

    def _folded(
        self, function: Callable[..., Tensor], values: Sequence[Any], options: Mapping[str, Any]
    ) -> Known:
        results = []
        for world in (0, 1):
            args = [None if v is None else v.worlds[world] for v in values]
            empty = (None if tensor is None else tensor.to("meta") for tensor in args)
            self.bounded(function(*empty, **options).numel())
            results.append(function(*args, **options))
        return Known((results[0], results[1]))

    def bounded(self, elements: int) -> None:
        """Refuse a tensor of more elements than any classifier needs."""
        if elements > MOST_ELEMENTS:
            raise self.refusal(f"it makes a tensor of {elements:,} elements")

    def rearranged(self, function: Callable[..., Tensor], value: Value, **options: Any) -> Value:
        """Like ``call``, but a weight whose numbers are only rearranged stays a weight."""
        if not isinstance(value, Weight):
            return self.call(function, value, **options)
        stem, dot, last = value.name.rpartition(".")
        how = "_".join(re.findall(r"\w+", f"{function.__name__} {[*options.values()]}"))
        name = f"{stem}{OWN}{how}.{last}" if dot else f"{last}{OWN}{how}"
        return Weight(name, function(value.tensor, **options))

    def layer(self, name: str, layer: nn.Module, value: Value) -> Value:
        """Record a layer without weights; calculate it if its input is known."""
        if isinstance(value, Known):
            return self._folded(layer, (value,), {})
        return self.recorder.layer(name, layer, self.scene.node(value))

    def reshape(self, value: Value, after: tuple[Shape, Shape]) -> Value:
        """Give a tensor other sizes.

        Args:
            value: the tensor.
            after: its sizes at either batch size.
        """
        if isinstance(value, Known):
            one, other = (v.reshape(s) for v, s in zip(value.worlds, after, strict=True))
            return Known((one, other))
        if isinstance(value, Weight):
            return self.rearranged(torch.reshape, value, shape=after[0])
        grows = [i for i, (a, b) in enumerate(zip(*after, strict=True)) if a != b]
        sizes: tuple[Any, ...] = after[0]
        if len(grows) == 1 and 0 not in after[0]:
            sizes = tuple(-1 if i in grows else size for i, size in enumerate(after[0]))
        elif grows:
            sizes = self.scene.sizes(after)
        node: Node = self.recorder.call(torch.reshape, value, sizes)
        if shapes(node) != after:
            raise BatchError("reshapes images of a batch into each other")
        return node

    def axis(self, default: int) -> int:
        """The attribute ``axis``, counted from the front."""
        axis = int(self.attributes.get("axis", default))
        rank = len(shape(self.x))
        return axis + rank if axis < 0 else axis

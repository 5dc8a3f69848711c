"""Recording a network, call by call, into a ``torch.fx`` graph with real layers.

Every call is tried on two batches without data (meta tensors) that differ in size alone. A number
that comes out the same for both is a constant; one that differs depends on the batch and is
recorded as a node, so that the network takes any batch.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.programs.paths import Paths, place

BATCHES = (2, 3)
MOST_NODES = 50_000
# Of one tensor, for the smaller of the two batches.
MOST_NUMBERS = 2**29
FAILURES = (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, ArithmeticError)
Node = fx.Node


class Recorder:
    """A graph in the making.

    Args:
        reserved: dotted names of all tensors that the file holds.
        written: the one batch size that a program was made for, if it was.
    """

    def __init__(self, reserved: Iterable[str] = (), written: int = 1) -> None:
        self.written = written
        self._graph = fx.Graph()
        self._paths = Paths(reserved)
        self._layers: dict[str, nn.Module] = {}
        self._tensors: dict[str, Node] = {}
        self._newer: dict[Node, Node] = {}
        self._stale: set[Node] = set()
        self._sharing: dict[int, list[Node]] = {}
        self._count = 0

    def image(
        self,
        channels: int,
        size: tuple[int, int],
        dtype: torch.dtype,
        batches: tuple[int, int] = BATCHES,
        other: tuple[int, int] | None = None,
    ) -> Node:
        """The input, (N, channels, *size), followed for two sizes N.

        Args:
            channels: of the images.
            size: (H, W).
            dtype: of the numbers.
            batches: the two sizes N.
            other: (H, W) for the second of them; ``size`` if None.
        """
        sizes = (size, other or size)
        shapes = [(n, channels, *each) for n, each in zip(batches, sizes, strict=True)]
        images = tuple(torch.empty(shape, dtype=dtype, device="meta") for shape in shapes)
        self.input = self._noted(self._graph.placeholder("image"), images)
        return self.input

    def tensor(self, name: str, tensor: Tensor, trainable: bool = True) -> Node:
        """A stored tensor under the dotted ``name``; a parameter if floating-point and trainable.

        Two calls with one name give one tensor.
        """
        if name not in self._tensors:
            held = tensor
            if trainable and tensor.is_floating_point() and not isinstance(tensor, nn.Parameter):
                held = nn.Parameter(tensor)
            path = self._paths.tensor(name)
            node = self._graph.get_attr(path)
            node.meta |= {"tensor": held, "name": name}
            example = torch.empty_like(held, device="meta", requires_grad=False)
            self._tensors[name] = self._noted(node, (example, example))
        return self._tensors[name]

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Record a call.

        Returns:
            What it gives: a node for a tensor, a constant for a number that the batch has no part
            in and a node for one that it has; or a list of such.
        """
        args, kwargs = map_arg((args, kwargs), self._latest)
        results = [self._tried(function, args, kwargs, which) for which in range(len(BATCHES))]
        return self._wrapped(results, partial(self._record, function, args, kwargs))

    def layer(self, name: str, layer: nn.Module, *inputs: Node, shaped: bool = False) -> Node:
        """Record a call of a layer, put under the dotted ``name`` or, if taken, one like it.

        Args:
            name: wished for.
            layer: a new one, or one already recorded.
            inputs: of the call.
            shaped: whether the output is like the input in shape and type, as normalisation's is.
        """
        inputs = map_arg(inputs, self._latest)
        if shaped:
            results = [torch.empty_like(each) for each in examples(inputs[0])]
        else:
            results = self._tried_layer(layer, inputs)
        path = self._known(layer) or self._paths.layer(name)
        self._layers[path] = layer
        node: Node = self._wrapped(results, partial(self._record_layer, path, inputs))
        return node

    def _tried_layer(self, layer: nn.Module, inputs: tuple[Node, ...]) -> list[Any]:
        held = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
        empty = {name: torch.empty_like(value, device="meta") for name, value in held.items()}

        def run(*values: Any) -> Any:
            return torch.func.functional_call(layer, empty, values)

        return [self._tried(run, inputs, {}, which) for which in range(len(BATCHES))]

    def replace(self, old: Node, new: Node) -> None:
        """From now on ``old`` means ``new``: what an operator that changes its input does.

        Whatever shares memory with ``old`` would change with it, which is not followed: reading
        any of that is refused.
        """
        old = self._latest(old)
        if old is not new:
            self._stale |= set(self._sharing[_memory(old)]) - {old}
            self._newer[old] = new

    def finish(self, output: Node) -> fx.GraphModule:
        """The network, in eval mode; layers and tensors are those that the output depends on."""
        self._graph.output(self._latest(output))
        self._graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
        root = nn.Module()
        layers = {
            node.target: self._layers[node.target]
            for node in self._graph.nodes
            if node.op == "call_module"
        }
        _untie(layers.values())
        for path, layer in layers.items():
            place(root, path, layer)
        for node in self._graph.nodes:
            if node.op == "get_attr":
                place(root, node.target, node.meta["tensor"])
            node.meta.clear()
        return fx.GraphModule(root, self._graph, "Program").eval()

    def _known(self, layer: nn.Module) -> str | None:
        return next((path for path, known in self._layers.items() if known is layer), None)

    def _latest(self, node: Node) -> Node:
        while node in self._newer:
            node = self._newer[node]
        if node in self._stale:
            raise CheckpointError(
                "changes part of a tensor in place, which is not supported: save the state dict"
            )
        return node

    def _tried(self, function: Callable[..., Any], args: Any, kwargs: Any, which: int) -> Any:
        values, named = map_arg((args, kwargs), lambda node: node.meta["examples"][which])
        try:
            with torch.no_grad():
                return function(*values, **named)
        except FAILURES as error:
            raise CallError(printable(error, limit=160)) from error

    def _wrapped(self, results: list[Any], make: Callable[[], Node]) -> Any:
        first = results[0]
        if isinstance(first, Tensor):
            return self._noted(make(), tuple(results))
        if isinstance(first, list | tuple):
            whole = _Once(lambda: self._noted(make(), tuple(results)))
            columns = zip(*results, strict=True)
            return [
                self._wrapped(list(column), partial(self._item, whole, index))
                for index, column in enumerate(columns)
            ]
        alike = all(type(result) is type(first) and result == first for result in results)
        return first if alike else self._noted(make(), tuple(results))

    def _item(self, whole: "_Once", index: int) -> Node:
        return self._item_of(whole(), index)

    def _item_of(self, whole: Node, index: int) -> Node:
        return self._graph.call_function(operator.getitem, (whole, index))

    def _record(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Node:
        return self._graph.call_function(function, args, kwargs)

    def _record_layer(self, path: str, inputs: tuple[Node, ...]) -> Node:
        return self._graph.call_module(path, inputs)

    def _noted(self, node: Node, found: tuple[Any, ...]) -> Node:
        self._count += 1
        if self._count > MOST_NODES:
            raise CheckpointError(f"holds a program of more than {MOST_NODES} steps")
        node.meta["examples"] = found
        if isinstance(found[0], Tensor):
            if found[0].numel() > MOST_NUMBERS:
                raise MisfitError("makes a tensor larger than any network needs")
            self._sharing.setdefault(_memory(node), []).append(node)
        return node


def _untie(layers: Iterable[nn.Module]) -> None:
    """Give each layer vectors of its own: exporters store equal ones once."""
    seen: set[int] = set()
    for part in [part for layer in layers for part in layer.modules()]:
        held = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
        for name, tensor in held:
            if tensor.dim() == 1 and tensor.data_ptr() in seen:
                own = tensor.detach().clone()
                trained = isinstance(tensor, nn.Parameter)
                setattr(part, name, nn.Parameter(own, tensor.requires_grad) if trained else own)
            seen.add(tensor.data_ptr())


class MisfitError(CheckpointError):
    """A program does not fit images of some size."""


class CallError(MisfitError):
    """A call does not fit its inputs."""


class _Once:
    """A node that is made when it is first asked for."""

    def __init__(self, make: Callable[[], Node]) -> None:
        self._make = make
        self._node: Node | None = None

    def __call__(self) -> Node:
        if self._node is None:
            self._node = self._make()
        return self._node


def _memory(node: Node) -> int:
    return int(node.meta["examples"][0].untyped_storage()._cdata)


def examples(node: Node) -> tuple[Any, ...]:
    """What a node is for each of ``BATCHES``: tensors without data, or numbers."""
    found: tuple[Any, ...] = node.meta["examples"]
    return found


def shape(node: Node) -> tuple[int, ...]:
    """Sizes for the first of ``BATCHES``."""
    return tuple(examples(node)[0].shape)


def stored(node: Any) -> Tensor | None:
    """The tensor behind a node that stands for one that the file holds; None for others."""
    return node.meta.get("tensor") if isinstance(node, Node) else None


def name_of(node: Node) -> str:
    """The name in the file of a stored tensor."""
    return str(node.meta["name"])


def batched(node: Any) -> bool:
    """Whether the number or the tensor's sizes depend on the batch."""
    if not isinstance(node, Node):
        return False
    one, other = examples(node)[:2]
    return bool(one.shape != other.shape) if isinstance(one, Tensor) else bool(one != other)


def stored_as(recorder: Recorder, state: Mapping[str, Tensor], name: str) -> Node:
    """The node of a tensor that a program names.

    Raises:
        CheckpointError: if the file holds none of that name.
    """
    if name not in state:
        raise CheckpointError(f"holds a program that uses {printable(name)}, which it lacks")
    return recorder.tensor(name, state[name])

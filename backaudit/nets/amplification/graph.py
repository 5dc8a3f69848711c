"""One pass for all depths: amplified copies join the batch of a traced graph where they differ.

A value that no amplified layer has touched yet is computed once. Where a layer is amplified in g
of the copies, its output gets them as groups of its batch; from there on each operation runs on
the groups that its inputs have. Weights are shared, and no prefix is computed twice.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from backaudit.nets.amplification.grouping import amplified, raised, rows
from backaudit.nets.amplification.interface import NotShareableError
from backaudit.nets.amplification.roles import UNKNOWN, Role
from backaudit.nets.amplification.tracing import TracedNetwork


class SharedGraph(nn.Module):
    """A graph that computes plain and amplified logits in one pass; it can be exported.

    Args:
        graph: images (N, C, H, W) -> logits (1 + G, N, K).
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        # Not called "graph", which exported programs have one of their own of.
        self.shared = graph
        self.how = "one pass for all depths, their prefixes shared through a traced graph"
        self.training = False

    def forward(self, images: Tensor) -> Tensor:
        """Logits (1 + G, N, K) for images (N, C, H, W)."""
        logits: Tensor = self.shared(images)
        return logits


def shared_graph(traced: TracedNetwork, depths: Sequence[int], scale: float) -> SharedGraph:
    """A traced network, plain and with its last d layers amplified for each depth d.

    Raises:
        NotShareableError: if a value would have to be computed in groups and cannot be.
    """
    graph, held = _Builder(traced, depths, scale).build()
    module = fx.GraphModule(held, graph, "Amplified")
    for part in module.modules():
        if part is module or type(part) is nn.Module:
            # The containers are new; layers are the network's own and in the mode that it is in.
            part.training = False
    return SharedGraph(module)


class _Builder:
    """Copies a graph node by node; copies that amplify more layers come first in the batch."""

    def __init__(self, traced: TracedNetwork, depths: Sequence[int], scale: float) -> None:
        self._traced = traced
        self._depths = depths
        self._scale = scale
        self._graph = fx.Graph()
        self._held: dict[str, Any] = dict(traced.held)
        self._device = _device(traced.held)
        self._copies: dict[tuple[fx.Node, int], fx.Node] = {}
        self._groups: dict[fx.Node, int] = {}

    def build(self) -> tuple[fx.Graph, dict[str, Any]]:
        for node in self._traced.graph.nodes:
            if node.op == "output":
                self._finish(node)
            else:
                self._copy(node)
        return self._graph, self._held

    def _copy(self, node: fx.Node) -> None:
        groups = max((self._groups[each] for each in node.all_input_nodes), default=1)
        copy = self._graph.node_copy(node, lambda each: self._with_groups(each, groups))
        if node in self._traced.points:
            copy, groups = self._amplified(node, copy, groups)
        self._groups[node] = groups
        self._copies[node, groups] = copy

    def _amplified(self, node: fx.Node, copy: fx.Node, groups: int) -> tuple[fx.Node, int]:
        amplifying = 1 + sum(depth > self._traced.points[node] for depth in self._depths)
        if amplifying == 1:
            return copy, groups
        dim = self._traced.roles[node]
        if not isinstance(dim, int):
            raise NotShareableError("a layer to amplify does not answer with a batch")
        wanted = max(groups, amplifying)
        factors = [1.0, *[self._scale] * (min(groups, amplifying) - 1)]
        factors += [1.0] * (groups - len(factors))
        arguments = (copy, dim, self._constant(factors), self._scale, wanted)
        return self._graph.call_function(amplified, arguments), wanted

    def _constant(self, factors: list[float]) -> fx.Node:
        name = "factors_" + "".join("01"[factor != 1] for factor in factors)
        self._held[name] = torch.tensor(factors, device=self._device)
        return self._graph.get_attr(name)

    def _with_groups(self, node: fx.Node, wanted: int) -> fx.Node:
        role, groups = self._traced.roles[node], self._groups[node]
        if role is None or groups == wanted:
            return self._copies[node, groups]
        if (node, wanted) not in self._copies:
            if _is_unknown(role):
                raise NotShareableError("a value depends on the batch in an unusual way")
            arguments = (self._copies[node, groups], role, groups, wanted)
            self._copies[node, wanted] = self._graph.call_function(raised, arguments)
        return self._copies[node, wanted]

    def _finish(self, node: fx.Node) -> None:
        logits = node.args[0]
        if not isinstance(logits, fx.Node) or self._traced.roles[logits] != 0:
            raise NotShareableError("the network does not answer with one row an image")
        groups = 1 + len(self._depths)
        deepest_first = sorted(range(len(self._depths)), key=lambda each: -self._depths[each])
        order = (0, *(1 + deepest_first.index(each) for each in range(len(self._depths))))
        arguments = (self._with_groups(logits, groups), groups, order)
        self._graph.output(self._graph.call_function(rows, arguments))


def _is_unknown(role: Role) -> bool:
    return any(map(_is_unknown, role)) if isinstance(role, tuple) else role == UNKNOWN


def _device(held: dict[str, Any]) -> torch.device:
    tensors = [held_tensor for each in held.values() for held_tensor in _tensors(each)]
    return tensors[0].device if tensors else torch.device("cpu")


def _tensors(held: Any) -> list[Tensor]:
    return [held] if isinstance(held, Tensor) else list(held.parameters())

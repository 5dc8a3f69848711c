"""A network as a graph whose operations, and those of them to amplify, are known."""

from collections.abc import Sequence
from operator import attrgetter

import torch
from torch import Tensor, fx, nn

from backaudit.nets.amplification.interface import NotShareableError
from backaudit.nets.amplification.roles import Role, roles

# What code that was not written for tracing may raise when it is traced.
FAILURES = (
    *(RuntimeError, TypeError, ValueError, LookupError, AttributeError, NameError),
    *(AssertionError, ArithmeticError),
)
PREFIX = "network"


class _Root(nn.Module):
    """Holds the network, so that constants which tracing finds are not put on the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits


class TracedNetwork:
    """A network as a ``torch.fx`` graph.

    Args:
        network: images -> logits, in eval mode; neither changed nor copied.
        layers: names of the layers that can be amplified, deepest first.
        images: (N, C, H, W), N at least 3, to see which values the batch has a part in.

    Attributes:
        graph: of the network.
        held: the modules and tensors that it uses, by the names it has for them; the network's own.
        roles: of all values.
        points: for each operation whose output is to be multiplied, its layer's place in
            ``layers``.

    Raises:
        NotShareableError: if the network cannot be traced.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], images: Tensor) -> None:
        root = _Root(network)
        try:
            self.graph = fx.Tracer().trace(root)
            self.held = {
                str(node.target): attrgetter(str(node.target))(root)
                for node in self.graph.nodes
                if node.op in ("call_module", "get_attr")
            }
            self.points = _points(self.graph, [f"{PREFIX}.{name}" for name in layers])
            self.roles = self._roles(images)
        except FAILURES as error:
            raise NotShareableError("torch.fx cannot trace the network") from error

    @torch.no_grad()
    def _roles(self, images: Tensor) -> dict[fx.Node, Role]:
        return roles(fx.GraphModule(self.held, self.graph), images)


def _points(graph: fx.Graph, layers: Sequence[str]) -> dict[fx.Node, int]:
    """Calls of layers, or, in layers with code of their own, what uses their weight."""
    called = {str(node.target) for node in graph.nodes if node.op == "call_module"}
    for name in layers:
        if any(name.startswith(f"{whole}.") for whole in called):
            raise NotShareableError(f"torch.fx cannot look inside what holds {name}")
    by_target = {name: index for index, name in enumerate(layers)}
    by_target |= {f"{name}.weight": index for index, name in enumerate(layers)}
    points: dict[fx.Node, int] = {}
    for node in graph.nodes:
        index = by_target.get(str(node.target))
        if index is not None and node.op == "call_module":
            points[node] = index
        elif index is not None and node.op == "get_attr":
            points |= dict.fromkeys(node.users, index)
    return points

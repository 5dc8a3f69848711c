"""A network as the detectors expect it: images in [0, 1] in, logits out."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable

TOLERANCE = 1e-3


@dataclass(frozen=True)
class End:
    """What may stand after the logits.

    Args:
        name: with its article.
        layer: that does it.
        function: does the same to logits (N, K).
        called: what a graph's node calls it.
    """

    name: str
    layer: type[nn.Module]
    function: Callable[[Tensor], Tensor]
    called: str

    def is_called_by(self, node: fx.Node) -> bool:
        """Whether a node of a graph is a call of the function, under any of torch's names."""
        target = node.target
        name = target if isinstance(target, str) else getattr(target, "__name__", "")
        plain = str(name).removeprefix("_").partition(".")[0]
        return node.op in ("call_function", "call_method") and plain == self.called


SOFTMAX = End("a softmax", nn.Softmax, partial(torch.softmax, dim=1), "softmax")
LOG_SOFTMAX = End("a log-softmax", nn.LogSoftmax, partial(torch.log_softmax, dim=1), "log_softmax")
SIGMOID = End("a sigmoid", nn.Sigmoid, torch.sigmoid, "sigmoid")
# What is taken of probabilities that no layer of their own makes.
LOGARITHM = "logarithm"


class Normalised(nn.Module):
    """A network behind its normalisation: images (N, C, H, W) in [0, 1] -> its answer.

    Args:
        network: takes normalised images.
        mean: per-channel mean in [0, 1] units, subtracted first.
        std: per-channel standard deviation in [0, 1] units, divided by second.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        # Not persistent, so that the state dict stays the suspect's own under a prefix.
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) for images (N, C, H, W) in [0, 1]."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


class LogProbabilities(nn.Module):
    """A network that answers with probabilities, turned into one that answers with their logarithm.

    Args:
        network: answers with probabilities (N, K).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities (N, K), which are logits, for images (N, C, H, W)."""
        return log_of(self.network(images))


def log_of(probabilities: Tensor) -> Tensor:
    """Logits (N, K) that have these probabilities (N, K)."""
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


class Undone(NamedTuple):
    """A network that answers with logits, and what was done to make it.

    Attributes:
        network: answers with logits.
        said: what was left out or undone, in a sentence; None if nothing was found.
        ends: the same, the last first, from which ``without_ends`` does it again.
    """

    network: nn.Module
    said: str | None
    ends: tuple[str, ...]


@torch.no_grad()
def with_logits(network: nn.Module, inputs: Tensor) -> Undone:
    """Undo what stands at the end of a network after its logits, in place where it can be left out.

    Args:
        network: in eval mode; answers with (N, K).
        inputs: (N, C, H, W), to see what it answers.
    """
    left_out: list[End] = []
    while (end := _end_of(network(inputs))) is not None:
        if end is SIGMOID and left_out:
            break
        if not _leave_out(network, inputs, end):
            break
        left_out.append(end)
    ends = tuple(each.called for each in left_out)
    if end is SOFTMAX:
        said = "The network answers with probabilities; their logarithm is used in place of logits."
        return Undone(LogProbabilities(network).eval(), said, (*ends, LOGARITHM))
    return Undone(network, _said(left_out, end), ends)


def _said(left_out: Sequence[End], end: End | None) -> str | None:
    """What was left out, and what an end that is still there means."""
    if end is LOG_SOFTMAX:
        return "The network answers with log-probabilities, which are used as logits."
    if left_out:
        names = " and ".join(each.name for each in left_out)
        return f"The network ends in {names}, which was left out."
    if end is SIGMOID:
        return (
            "All scores lie between 0 and 1 and are no probabilities: the network may end in a "
            "sigmoid that could not be left out, and scores be compressed."
        )
    return None


@torch.no_grad()
def without_ends(network: nn.Module, inputs: Tensor, ends: Sequence[str]) -> nn.Module:
    """Undo again what ``with_logits`` undid, whatever the network answers here.

    Args:
        network: in eval mode; answers with (N, K).
        inputs: any (N, C, H, W) that it takes.
        ends: what ``with_logits`` undid.

    Raises:
        CheckpointError: if the network does not end so.
    """
    known = {end.called: end for end in (SOFTMAX, LOG_SOFTMAX, SIGMOID)}
    for name in ends:
        if name == LOGARITHM:
            network = LogProbabilities(network).eval()
        elif name not in known or not _leave_out(network, inputs, known[name]):
            raise CheckpointError(f"the network does not end in {printable(name)}, as it should.")
    return network


def are_probabilities(outputs: Tensor) -> bool:
    """Whether every row of (N, K) is a distribution over classes."""
    off = (outputs.sum(1) - 1).abs().max()
    return bool((outputs >= 0).all() and off < TOLERANCE)


def are_log_probabilities(outputs: Tensor) -> bool:
    """Whether every row of (N, K) is the logarithm of a distribution over classes."""
    return bool((outputs <= TOLERANCE).all()) and are_probabilities(outputs.exp())


def _end_of(outputs: Tensor) -> End | None:
    """What seems to stand after the logits, from answers (N, K)."""
    if are_probabilities(outputs):
        return SOFTMAX
    if are_log_probabilities(outputs):
        return LOG_SOFTMAX
    between = bool(((outputs >= 0) & (outputs <= 1)).all())
    return SIGMOID if between and outputs.shape[1] > 1 else None


def _leave_out(network: nn.Module, inputs: Tensor, end: End) -> bool:
    """Leave the end out, as a layer or a node of a graph; whether that could be done."""
    answers = network(inputs)

    def same() -> bool:
        return torch.allclose(end.function(network(inputs)), answers, atol=TOLERANCE)

    name = _last_layer(network, inputs, end.layer)
    if name is not None:
        layer = network.get_submodule(name)
        network.set_submodule(name, nn.Identity())
        if same():
            return True
        network.set_submodule(name, layer)
    return any(_cut(graph, end, same) for graph in _graphs(network))


def _graphs(network: nn.Module) -> list[fx.GraphModule]:
    return [module for module in network.modules() if isinstance(module, fx.GraphModule)]


def _cut(graph: fx.GraphModule, end: End, same: Callable[[], bool]) -> bool:
    """Take the function before a graph's output out of it, unless answers do not follow."""
    output = next(node for node in reversed(graph.graph.nodes) if node.op == "output")
    last = output.args[0]
    if not isinstance(last, fx.Node) or not end.is_called_by(last):
        return False
    before = last.args[0]
    if not isinstance(before, fx.Node):
        return False
    output.args = (before,)
    graph.recompile()
    if same():
        graph.graph.eliminate_dead_code()
        graph.recompile()
        return True
    output.args = (last,)
    graph.recompile()
    return False


def _last_layer(network: nn.Module, inputs: Tensor, kind: type[nn.Module]) -> str | None:
    """Name of the layer of a kind that runs last on ``inputs``."""
    ran: list[str] = []
    with ExitStack() as stack:
        for name, module in network.named_modules():
            if name and isinstance(module, kind):
                hook = module.register_forward_hook(lambda *_, name=name: ran.append(name))
                stack.callback(hook.remove)
        network(inputs)
    return ran[-1] if ran else None

"""Which channels of a network stand in for one another, and which of them matter least."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from backaudit.attacks.interface import TrainingSet
from backaudit.core.errors import SettingError
from backaudit.core.suspect import as_input
from backaudit.nets.layers import batch_norms

BATCH = 32
IMAGE = "image"


@dataclass(frozen=True)
class Streams:
    """Sets of layers that share their channels: what a sum joins, one shares channel by channel.

    Args:
        written: layer with weights -> the stream of its outputs.
        read: convolution or linear layer -> the stream of its inputs.
    """

    written: Mapping[str, str]
    read: Mapping[str, str]


def streams(network: nn.Module) -> Streams:
    """Find the streams of a network of convolutions, batch norm and one linear layer.

    Raises:
        SettingError: if its layers cannot be followed.
    """
    try:
        nodes = fx.symbolic_trace(network).graph.nodes
    except Exception as error:
        raise SettingError(f"the channels of this network cannot be followed ({error})") from error
    return _Follower(network).follow(nodes)


class _Follower:
    """Follows channels from layer to layer; streams that a sum joins become one."""

    def __init__(self, network: nn.Module) -> None:
        self._modules = dict(network.named_modules())
        self._joined: dict[str, str] = {}
        self._written: dict[str, str] = {}
        self._read: dict[str, str] = {}

    def follow(self, nodes: fx.graph._node_list) -> Streams:
        """Follow a graph's nodes in their order."""
        at: dict[fx.Node, str] = {}
        for node in nodes:
            before = [at[each] for each in node.all_input_nodes if each in at]
            for other in before[1:]:
                self._joined[self._last(other)] = self._last(before[0])
            at[node] = self._after(node, before[0] if before else IMAGE)
        return Streams(
            {name: self._last(stream) for name, stream in self._written.items()},
            {name: self._last(stream) for name, stream in self._read.items()},
        )

    def _after(self, node: fx.Node, before: str) -> str:
        """The stream that a node leaves its channels in."""
        if node.op != "call_module":
            return before
        name = str(node.target)
        layer = self._modules[name]
        if isinstance(layer, nn.Conv2d | nn.Linear):
            self._read[name] = before
            if not (isinstance(layer, nn.Conv2d) and layer.groups > 1):
                before = name
                self._joined[name] = name
        self._written[name] = before
        return before

    def _last(self, stream: str) -> str:
        while self._joined.get(stream, stream) != stream:
            stream = self._joined[stream]
        return stream


def least_important(
    network: nn.Module, found: Streams, clean: TrainingSet, count: int
) -> dict[str, Tensor]:
    """Find the channels whose loss costs the least.

    The importance of a channel is the mean square, over batches, of the change of their
    cross-entropy to first order when all that layers read from it is 0 (Molchanov et al.,
    Importance Estimation for Neural Network Pruning, CVPR 2019, equation 8, with their gates).
    Batch norm follows the batch, as statistics are measured again afterwards.

    Args:
        network: images in [0, 1] -> logits; left as it is.
        found: its streams.
        clean: what it should go on to know.
        count: channels of each stream.

    Returns:
        Stream -> positions (count,).
    """
    probe = deepcopy(network).requires_grad_(True)
    for layer in batch_norms(probe).values():
        layer.train()
    layers = {name: probe.get_submodule(name) for name in found.read}
    widths = {
        found.written[name]: len(layer.get_parameter("weight")) for name, layer in layers.items()
    }
    weights = {name: layer.get_parameter("weight") for name, layer in layers.items()}
    sums: dict[str, Tensor] = {}
    batches = zip(clean.images.split(BATCH), clean.labels.split(BATCH), strict=True)
    for images, labels in batches:
        loss = F.cross_entropy(probe(as_input(images, images.device)), labels)
        gradients = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
        slopes = {
            name: (weight.detach() * gradient).transpose(0, 1)
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
        for stream, change in _changes(slopes, found, widths).items():
            sums[stream] = sums.get(stream, torch.zeros_like(change)) + change.square()
    return {stream: total.argsort()[:count].sort().values for stream, total in sums.items()}


def _changes(
    slopes: Mapping[str, Tensor], found: Streams, widths: Mapping[str, int]
) -> dict[str, Tensor]:
    """Stream -> change of the loss (C,) without each of its channels, to first order.

    Args:
        slopes: weight times gradient of each layer, its inputs first (I, O, ...).
        found: the streams.
        widths: channels of each.
    """
    changes: dict[str, Tensor] = {}
    for name, stream in found.read.items():
        # Channelwise layers hand on what they read.
        if stream in (IMAGE, found.written[name]):
            continue
        change = slopes[name].reshape(widths[stream], -1).sum(1)
        changes[stream] = changes.get(stream, torch.zeros_like(change)) + change
    return changes

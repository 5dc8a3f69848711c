"""Choosing the way that shares most among those that give the right logits."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from backaudit.nets.amplification.graph import shared_graph
from backaudit.nets.amplification.interface import AmplifiedNetwork, NotShareableError
from backaudit.nets.amplification.plain import PlainAmplification
from backaudit.nets.amplification.replay import ReplayedAmplification
from backaudit.nets.amplification.tracing import FAILURES, TracedNetwork

# Largest difference between logits, as a multiple of the type's precision and the largest logit.
TOLERANCE = 1000


def amplify(
    network: nn.Module,
    layers: Sequence[str],
    depths: Sequence[int],
    scale: float,
    example: Tensor,
) -> AmplifiedNetwork:
    """Prepare to run a network plain and amplified to several depths, in one call.

    Args:
        network: images in [0, 1] -> logits (N, K), in eval mode; left as it is, nothing is copied.
        layers: names of the layers that can be amplified, deepest first.
        depths: numbers from 0 to ``len(layers)``; depth d amplifies ``layers[:d]``.
        scale: factor on the weights and biases of these layers (omega).
        example: images (N, C, H, W) on the network's device, to check results on.

    Returns:
        Images (N, C, H, W) -> logits (1 + G, N, K): plain first, then one row a depth. It is an
        ``nn.Module`` that holds the network's own parameters.
    """
    return Amplifier(network, layers, example).at(depths, scale)


class Amplifier:
    """A network that is looked at once, to be amplified to many depths.

    Args:
        network: images in [0, 1] -> logits (N, K), in eval mode; left as it is, nothing is copied.
        layers: names of the layers that can be amplified, deepest first.
        example: images (N, C, H, W) on the network's device, to check results on.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], example: Tensor) -> None:
        self._network = network
        self._layers = tuple(layers)
        self._images = _three(example)
        self._traced: TracedNetwork | NotShareableError
        try:
            self._traced = TracedNetwork(network, self._layers, self._images)
        except NotShareableError as error:
            self._traced = error

    @torch.no_grad()
    def at(self, depths: Sequence[int], scale: float) -> AmplifiedNetwork:
        """The network at some depths: the way that shares most and gives the right logits.

        Args:
            depths: numbers from 0 to the number of layers.
            scale: factor on the weights and biases of the layers (omega).
        """
        plain = PlainAmplification(self._network, self._layers, depths, scale)
        reasons: list[str] = []
        # TF32 rounds more than the tolerance allows for.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            right = plain(self._images)
            for way in (self._graph, self._replayed):
                try:
                    return _explained(_checked(way(depths, scale), self._images, right), reasons)
                except NotShareableError as error:
                    reasons.append(str(error))
        return _explained(plain, reasons)

    def _graph(self, depths: Sequence[int], scale: float) -> AmplifiedNetwork:
        if isinstance(self._traced, NotShareableError):
            raise self._traced
        return shared_graph(self._traced, depths, scale)

    def _replayed(self, depths: Sequence[int], scale: float) -> AmplifiedNetwork:
        return ReplayedAmplification(self._network, self._layers, depths, scale)


def _three(example: Tensor) -> Tensor:
    """Three images (3, C, H, W) that differ, made from one or more."""
    return torch.cat([example, 1 - example, example.flip(-1)])[:3]


def _explained(network: AmplifiedNetwork, reasons: Sequence[str]) -> AmplifiedNetwork:
    if reasons:
        network.how += f" ({'; '.join(dict.fromkeys(reasons))})"
    return network


def _checked(network: AmplifiedNetwork, images: Tensor, right: Tensor) -> AmplifiedNetwork:
    """A network whose logits are right for all images, and for a batch of another size."""
    try:
        pairs = ((network(images), right), (network(images[:-1]), right[:, :-1]))
    except FAILURES as error:
        raise NotShareableError("shared prefixes do not run") from error
    if not all(_close(found, wanted) for found, wanted in pairs):
        raise NotShareableError("shared prefixes gave other logits")
    return network


def _close(found: Tensor, wanted: Tensor) -> bool:
    """Whether logits (1 + G, N, K) agree, relative to the largest at their depth.

    Logits that are too large for their type may overflow in another order.
    """
    finite = wanted.isfinite()
    largest = wanted.where(finite, 0).abs().amax((1, 2), keepdim=True)
    near = (found - wanted).abs() <= TOLERANCE * torch.finfo(wanted.dtype).eps * largest
    return bool((near | ~finite).all())

"""What can be told of a network by names and shapes; nouns only, so that they need no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Certainty(StrEnum):
    """How sure it is which network the tensors belong to."""

    EXACT = "exact"
    CHAIN = "chain"
    NEAREST = "nearest"
    GRAPH = "graph"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Architecture:
    """The network that names and shapes of the tensors point to.

    Args:
        certainty: how sure that is.
        name: such as ``resnet18-cifar(width=64)``; "" if none is near.
        others: further networks that the same tensors fit.
        differs: why it is not exact: how many tensors agree and which is the first that does not.
        layers: class name of each layer of the network, for an exact fit.
    """

    certainty: Certainty = Certainty.UNKNOWN
    name: str = ""
    others: tuple[str, ...] = ()
    differs: str = ""
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outlook:
    """What the weights in a file say about the network; what is not known is None or empty.

    Args:
        wrapper: keys that lead to the weights.
        prefix: what was removed from the start of every name.
        weights: number of tensors that the network would get.
        architecture: the network.
        num_classes: outputs.
        image_size: height and width in pixels that the file states.
        usual_size: height and width in pixels that are usual for the network.
        class_names: names of the outputs.
        mean: per-channel mean that the file states, in [0, 1] units.
        std: per-channel standard deviation that the file states, in [0, 1] units.
        metadata: plain values beside the weights.
        notes: what was assumed or ignored, one sentence each.
    """

    wrapper: tuple[str, ...] = ()
    prefix: str = ""
    weights: int = 0
    architecture: Architecture = field(default_factory=Architecture)
    num_classes: int | None = None
    image_size: tuple[int, int] | None = None
    usual_size: int | None = None
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

"""A network that tensors were found to belong to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from backaudit.nets.chains.filling import Filling
from backaudit.nets.chains.reading import Chain


@dataclass(frozen=True)
class Recognised:
    """A network with the weights of a checkpoint.

    Args:
        network: in eval mode; shares its tensors with the checkpoint.
        architecture: such as ``resnet18-cifar(width=64)``.
        num_classes: outputs.
        in_channels: of its images.
        input_size: usual height and width in pixels of its images; None if unknown.
        how: how the architecture was found, for the report.
        assumptions: what shapes do not tell and was taken as usual, one sentence each.
        metadata: of the checkpoint, with what was found among its tensors.
        rivals: other networks that the same tensors fit.
        chain: the layers of a plain chain, of which ``network`` is only the most usual filling.
        filling: how that chain was filled in; None before it was, and for other networks.
        state: the tensors of that chain.
        unbuilt: names of further networks of timm that the same tensors fit.
    """

    network: nn.Module
    architecture: str
    num_classes: int
    in_channels: int
    input_size: int | None
    how: str
    assumptions: tuple[str, ...]
    metadata: Mapping[str, object] = field(default_factory=dict)
    rivals: tuple["Recognised", ...] = ()
    chain: Chain | None = None
    filling: Filling | None = None
    state: Mapping[str, Tensor] = field(default_factory=dict)
    unbuilt: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fit:
    """A network that tensors fit, known from names and shapes alone.

    Args:
        architecture: such as ``resnet18-cifar(width=64)``.
        how: it was found.
        exact: whether all tensors fit; False for a plain chain, which is no architecture.
        assumptions: what shapes do not tell, one sentence each.
        network: without weights.
        num_classes: outputs.
        in_channels: of its images.
        input_size: usual height and width in pixels; None if unknown.
    """

    architecture: str
    how: str
    exact: bool
    assumptions: tuple[str, ...]
    network: nn.Module
    num_classes: int
    in_channels: int
    input_size: int | None

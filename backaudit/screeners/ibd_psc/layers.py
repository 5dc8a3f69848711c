"""Which layers of a network can be amplified."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.suspect import Suspect
from backaudit.nets.layers import execution_order, linear_maps, norm_layers


@dataclass(frozen=True)
class Amplifiable:
    """The layers of a network that can be amplified.

    Args:
        names: deepest first, which is the order they run in, reversed.
        kind: ``normalisation`` or ``convolution``.
        experimental: True where the paper's evidence does not reach.
        notes: what a user must know, one sentence each.
    """

    names: tuple[str, ...]
    kind: str
    experimental: bool = False
    notes: tuple[str, ...] = ()


def amplifiable(suspect: Suspect, clean: CleanSet) -> Amplifiable:
    """Batch norms; without any, other normalisation layers; without these, folded convolutions.

    Args:
        suspect: the network; layers that do not run are left out.
        clean: at least one image, to see which layers run.

    Raises:
        NotApplicableError: if there is none of them.
    """
    norms = norm_layers(suspect.network)
    batch_norms = {name: each for name, each in norms.items() if isinstance(each, _BatchNorm)}
    if names := _deepest_first(suspect, batch_norms, clean):
        return Amplifiable(names, "normalisation")
    if names := _deepest_first(suspect, norms, clean):
        note = (
            "The network has no batch norm: its other normalisation layers are amplified, for "
            "which the paper has no evidence."
        )
        return Amplifiable(names, "normalisation", experimental=True, notes=(note,))
    folded = {
        name: layer
        for name, layer in linear_maps(suspect.network).items()
        if not isinstance(layer, nn.Linear) and layer.bias is not None
    }
    if names := _deepest_first(suspect, folded, clean):
        note = (
            "The network has no normalisation layer: its convolutions are amplified, which is the "
            "same if batch norm was folded into them, and outside the paper if there was none."
        )
        return Amplifiable(names, "convolution", notes=(note,))
    raise NotApplicableError(
        "the network has no normalisation layer, and no convolution with a bias into which one "
        "could have been folded."
    )


def _deepest_first(
    suspect: Suspect, layers: Mapping[str, nn.Module], clean: CleanSet
) -> tuple[str, ...]:
    ran = execution_order(suspect.network, dict(layers), clean.images[:1])
    return tuple(reversed(ran))

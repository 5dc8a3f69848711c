"""All that can be told of a checkpoint without running it; only recognising it imports torch."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from backaudit.core.errors import CheckpointError
from backaudit.files.contents import Survey
from backaudit.files.limits import Limits
from backaudit.files.survey import survey
from backaudit.loading.figures import TensorFigures, figures, layer_kinds, stored_layers
from backaudit.loading.graph_figures import operators

log = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Inspection:
    """A file, looked at.

    Args:
        survey: what it holds.
        tensors: all of them, also those of an optimiser.
        outlook: on the network; None where nothing could be said.
        normalisation: kind of normalisation layer -> how many.
        operators: of a program's graph -> how often; empty without one.
    """

    survey: Survey
    tensors: TensorFigures
    outlook: Outlook | None
    normalisation: Mapping[str, int]
    operators: Mapping[str, int]


def inspect(path: Path, limits: Limits | None = None) -> Inspection:
    """Look at a checkpoint without running, importing or unpacking anything of it.

    Args:
        path: a file or a hub folder.
        limits: on what is read.

    Raises:
        CheckpointError: if there is no such file, or it is too large to be looked at.
    """
    found = survey(path, limits or Limits())
    outlook = _outlook(found)
    used = operators(found.contents.program)
    return Inspection(
        survey=found,
        tensors=figures(found.contents.saved),
        outlook=outlook,
        normalisation=_normalisation(found, outlook, used),
        operators=used,
    )


def _outlook(found: Survey) -> Outlook | None:
    if found.contents.problem:
        return None
    # Only here: it imports torch, which what stands in the file can do without.
    from backaudit.loading.outlook import outlook

    try:
        return outlook(found)
    except CheckpointError as error:
        return Outlook(notes=(f"No weights were found: the file {error}.",))
    except Exception as error:
        # What the file would run must be told, also where its tensors are made to trip this up.
        log.debug("recognition crashed", exc_info=True)
        return Outlook(notes=(f"The network was not looked at: {type(error).__name__}: {error}",))


def _normalisation(
    found: Survey, outlook: Outlook | None, used: Mapping[str, int]
) -> Mapping[str, int]:
    """Kinds of normalisation layers, from whatever tells them best."""
    if outlook is not None and outlook.architecture.layers:
        return layer_kinds(outlook.architecture.layers)
    try:
        return stored_layers(found.contents.saved) or layer_kinds(used)
    except CheckpointError:
        # Of modules that cannot be walked; the outlook says why.
        return {}

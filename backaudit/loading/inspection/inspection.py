"""All that can be told of a checkpoint without running it; only recognising it imports torch."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backaudit.core.errors import CheckpointError
from backaudit.files.contents import Survey
from backaudit.files.limits import Limits
from backaudit.files.survey import survey
from backaudit.loading.inspection.figures import TensorFigures, figures, layer_kinds, stored_layers
from backaudit.loading.inspection.graph_figures import operators
from backaudit.loading.inspection.outlook import Outlook

log = logging.getLogger(__name__)


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
    from backaudit.loading.inspection.network import outlook

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

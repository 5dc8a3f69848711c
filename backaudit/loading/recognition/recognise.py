"""Which network do these tensors belong to? An exact fit, or a refusal that says what differs."""

from collections.abc import Sequence
from dataclasses import replace

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.loading.recognition.attempts import (
    RECOGNISED,
    Attempt,
    attempts,
    fitting,
    loaded,
    shapes_of,
)
from backaudit.loading.recognition.fitting import num_inputs, num_outputs
from backaudit.loading.recognition.naming import named
from backaudit.loading.recognition.nearest import unrecognised
from backaudit.loading.recognition.parts import follow
from backaudit.loading.recognition.recognised import Fit, Recognised
from backaudit.loading.recognition.views import View, views
from backaudit.loading.recognition.whole import from_definition, from_graph, from_parts, kind_of
from backaudit.loading.weights.checkpoint import Checkpoint
from backaudit.nets.chains.candidates import chain_candidate, usual_filling
from backaudit.nets.chains.filling import geometries
from backaudit.nets.chains.reading import read_chain
from backaudit.nets.library_index import indexed_names

CHAINED = "read from the tensors as a plain chain of layers"


def recognise(
    checkpoint: Checkpoint,
    *,
    arch: str | None = None,
    model_def: str | None = None,
    size: tuple[int, int] | None = None,
) -> Recognised:
    """Find the network that the tensors fit exactly, and load them.

    Args:
        checkpoint: what was read.
        arch: name of an architecture of ours, of torchvision or of timm that it must be.
        model_def: ``file.py:NAME``, the user's own definition, which is executed.
        size: height and width of the images, for a graph that leaves it open.

    Raises:
        CheckpointError: if no network, or not the named one, fits exactly.
    """
    if arch and model_def:
        raise CheckpointError("--arch and --model-def exclude each other; give one of them.")
    if model_def:
        return from_definition(checkpoint, model_def)
    if checkpoint.program is not None:
        if arch:
            raise CheckpointError(
                f"{printable(checkpoint.path)} holds its own {kind_of(checkpoint.format)}, which "
                "is used; leave --arch out."
            )
        exact = [fit.architecture for fit in recognise_names(checkpoint) if fit.exact]
        return from_graph(checkpoint, exact[0] if exact else "", size)
    seen = list(views(checkpoint.state))
    if arch:
        view, attempt = named(checkpoint, seen, arch)
        return _loaded(checkpoint, view, [attempt], "named by --arch")
    found = from_parts(checkpoint) or _found(checkpoint, seen)
    if found is None:
        raise CheckpointError(unrecognised(checkpoint, seen))
    return found


def _found(checkpoint: Checkpoint, seen: Sequence[View]) -> Recognised | None:
    """The architecture that fits, or else a plain chain."""
    for view in seen:
        how, fits = fitting(view.state, checkpoint.metadata)
        if fits:
            return _loaded(checkpoint, view, fits, how)
    return _chained(checkpoint, seen)


def recognise_names(checkpoint: Checkpoint) -> tuple[Fit, ...]:
    """Say which networks the tensors fit, from names and shapes alone; none if none does.

    Args:
        checkpoint: its tensors may lie on the meta device.
    """
    for view in views(checkpoint.state):
        how, found = fitting(view.state, checkpoint.metadata)
        if found:
            return tuple(_fit(view, attempt, how) for attempt in found)
    for view in views(checkpoint.state):
        chain = read_chain(shapes_of(view.state))
        if chain is not None:
            candidate = chain_candidate(chain)
            attempt = next(attempts([candidate], view.state), None)
            return (_fit(view, attempt, CHAINED, exact=False),) if attempt else ()
    return ()


def _fit(view: View, attempt: Attempt, how: str, *, exact: bool = True) -> Fit:
    candidate, network = attempt.candidate, attempt.network
    assumptions = tuple(text for text in (view.note, candidate.assumption) if text)
    return Fit(
        candidate.name,
        how,
        exact,
        assumptions,
        network,
        num_outputs(network),
        num_inputs(network),
        candidate.input_size,
    )


def _loaded(checkpoint: Checkpoint, view: View, found: Sequence[Attempt], how: str) -> Recognised:
    """Load the networks that fit; the others are rivals of the first."""
    first, *rivals = [_one_loaded(checkpoint, view, attempt, how) for attempt in found]
    names = {each.candidate.name.removeprefix("timm ") for each in found}
    alike = indexed_names("timm", shapes_of(view.state)) if how == RECOGNISED else ()
    unbuilt = tuple(name for name in alike if name not in names)
    return replace(first, rivals=tuple(rivals), unbuilt=unbuilt, state=view.state)


def _one_loaded(checkpoint: Checkpoint, view: View, attempt: Attempt, how: str) -> Recognised:
    network = loaded(attempt)
    parts = [
        replace(part, path=part.path.removeprefix(checkpoint.prefix)) for part in checkpoint.module
    ]
    followed = follow(network, parts, checkpoint.state)
    said = (*checkpoint.notes, view.note, attempt.candidate.assumption, followed)
    return Recognised(
        network=network,
        architecture=attempt.candidate.name,
        num_classes=num_outputs(network),
        in_channels=num_inputs(network),
        input_size=attempt.candidate.input_size,
        how=how,
        assumptions=tuple(text for text in said if text),
        metadata={**checkpoint.metadata, **view.stated},
    )


def _chained(checkpoint: Checkpoint, seen: Sequence[View]) -> Recognised | None:
    """The tensors as a plain chain, with what they leave open filled in as is most usual."""
    for view in seen:
        chain = read_chain(shapes_of(view.state))
        if chain is None or not geometries(chain):
            continue
        for attempt in attempts([chain_candidate(chain)], view.state):
            if not attempt.comparison.fits:
                continue
            usual = _one_loaded(checkpoint, view, attempt, CHAINED)
            channels = usual_filling(chain).in_channels
            return replace(usual, in_channels=channels, chain=chain, state=view.state)
    return None

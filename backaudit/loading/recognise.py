"""Which network do these tensors belong to? An exact fit, or a refusal that says what differs."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

from torch import nn

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.loading.checkpoint import Checkpoint
from backaudit.loading.fitting import (
    Comparison,
    compare,
    fill,
    likely_classes,
    num_inputs,
    num_outputs,
)
from backaudit.loading.model_def import fitting_size, network_from
from backaudit.nets.architectures import ARCHITECTURES, Candidate, candidates
from backaudit.nets.architectures.candidate import Shapes
from backaudit.nets.torchvision_models import (
    torchvision_candidate,
    torchvision_candidates,
    torchvision_names,
)
from backaudit.nets.unallocated import Unallocated

WIDE = re.compile(r"wrn-(\d{1,3})-(\d{1,2})")
# What constructors raise when shapes are read into settings that do not go together.
UNBUILDABLE = (ValueError, RuntimeError, AssertionError, ZeroDivisionError, IndexError, TypeError)
HINT = (
    "Name the architecture with --arch, or define the network in a Python file of your own and "
    "give --model-def FILE.py:NAME."
)


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
    """

    network: nn.Module
    architecture: str
    num_classes: int
    in_channels: int
    input_size: int | None
    how: str
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class Attempt:
    """A candidate, built without storage, and how it compares.

    Args:
        candidate: what was built.
        network: on the meta device.
        comparison: of the checkpoint's tensors with the network's.
    """

    candidate: Candidate
    network: nn.Module
    comparison: Comparison


def recognise(
    checkpoint: Checkpoint, *, arch: str | None = None, model_def: str | None = None
) -> Recognised:
    """Find the network that the tensors fit exactly, and load them.

    Args:
        checkpoint: what was read.
        arch: name of an architecture of ours or of torchvision that it must be.
        model_def: ``file.py:NAME``, the user's own definition, which is executed.

    Raises:
        CheckpointError: if no network, or not the named one, fits exactly.
    """
    if arch and model_def:
        raise CheckpointError("--arch and --model-def exclude each other; give one of them.")
    if model_def:
        return _from_definition(checkpoint, model_def)
    shapes = {name: tuple(tensor.shape) for name, tensor in checkpoint.state.items()}
    if arch:
        return _loaded(checkpoint, [_named(checkpoint, shapes, arch)], "named by --arch")
    fitting = _fitting(checkpoint, shapes)
    if not fitting:
        raise CheckpointError(_unrecognised(checkpoint, shapes))
    return _loaded(checkpoint, fitting, "recognised from the names and shapes of the tensors")


def _loaded(checkpoint: Checkpoint, fitting: Sequence[Attempt], how: str) -> Recognised:
    """Load the first of the networks that fit, and name the others."""
    found, *rest = fitting
    network = fill(found.network, checkpoint.state)
    assumptions = [*checkpoint.notes]
    if found.candidate.assumption:
        assumptions.append(found.candidate.assumption)
    if rest:
        others = ", ".join(attempt.candidate.name for attempt in rest)
        assumptions.append(f"The same tensors fit {others} too; --arch chooses.")
    return Recognised(
        network=network,
        architecture=found.candidate.name,
        num_classes=num_outputs(network),
        in_channels=num_inputs(network),
        input_size=found.candidate.input_size,
        how=how,
        assumptions=tuple(assumptions),
    )


def _from_definition(checkpoint: Checkpoint, spec: str) -> Recognised:
    network, state = network_from(spec, checkpoint)
    fill(network, state)
    in_channels = num_inputs(network)
    fits = fitting_size(network, in_channels, checkpoint.metadata.get("img_size"))
    size, classes = fits or (None, num_outputs(network))
    assumptions = [*checkpoint.notes, f"The file of --model-def, {printable(spec)}, was executed."]
    if size:
        assumptions.append(f"Images of {size} x {size} pixels are the first usual size that fits.")
    how = "defined by --model-def"
    name = printable(spec)
    return Recognised(network, name, classes, in_channels, size, how, tuple(assumptions))


def _proposals(shapes: Shapes) -> Iterator[list[Candidate]]:
    """Groups of candidates, the preferred first; torchvision is imported only if needed."""
    ours = candidates(shapes)
    yield [candidate for candidate in ours if not candidate.fallback]
    yield list(torchvision_candidates(shapes))
    yield [candidate for candidate in ours if candidate.fallback]


def _attempts(proposed: Iterable[Candidate], checkpoint: Checkpoint) -> Iterator[Attempt]:
    """Build and compare candidates, without those that cannot have such shapes."""
    for candidate in proposed:
        try:
            with Unallocated():
                network = candidate.build()
        except UNBUILDABLE:
            continue
        yield Attempt(candidate, network, compare(network, checkpoint.state))


def _fitting(checkpoint: Checkpoint, shapes: Shapes) -> list[Attempt]:
    """Every candidate that fits, of the first group that has one."""
    for group in _proposals(shapes):
        fitting = [each for each in _attempts(group, checkpoint) if each.comparison.fits]
        if fitting:
            return fitting
    return []


def _named(checkpoint: Checkpoint, shapes: Shapes, arch: str) -> Attempt:
    """The candidate of a name, with whatever the name leaves open read from the shapes."""
    wanted = arch.strip().lower()
    proposed = [candidate for group in _proposals(shapes) for candidate in group]
    named = [candidate for candidate in proposed if _is_called(candidate.name, wanted)]
    named = named or [_usual(wanted, arch, checkpoint, shapes)]
    best = max(_attempts(named, checkpoint), key=_agreeing, default=None)
    if best is not None and best.comparison.fits:
        return best
    differs = best.comparison.describe() if best else "no such network can have their shapes"
    fitting = _fitting(checkpoint, shapes)
    instead = f" They fit {fitting[0].candidate.name} exactly." if fitting else ""
    raise CheckpointError(
        f"the tensors of {printable(checkpoint.path)} do not fit {named[0].name}, named by --arch: "
        f"{differs}.{instead} Leave --arch out, or give the right name."
    )


def _agreeing(attempt: Attempt) -> int:
    return attempt.comparison.agreeing


def _is_called(name: str, wanted: str) -> bool:
    return wanted in (name, name.partition("(")[0]) or (wanted == "wrn" and name.startswith("wrn-"))


def _usual(wanted: str, arch: str, checkpoint: Checkpoint, shapes: Shapes) -> Candidate:
    """The network of a name at its usual width, to say what differs from it."""
    classes = likely_classes(checkpoint.state) or 10
    wide = WIDE.fullmatch(wanted)
    if wide:
        depth, widen = (int(number) for number in wide.groups())
        build = partial(ARCHITECTURES["wrn"], num_classes=classes, depth=depth, widen=widen)
        return Candidate(wanted, build, 32)
    if wanted in ARCHITECTURES:
        return Candidate(wanted, partial(ARCHITECTURES[wanted], num_classes=classes), 32)
    if wanted in torchvision_names():
        return torchvision_candidate(wanted, shapes)
    known = [*ARCHITECTURES, *torchvision_names(), "wrn-16-1"]
    near = get_close_matches(wanted, known, n=3, cutoff=0.3) or list(ARCHITECTURES)
    raise CheckpointError(
        f"there is no architecture {printable(arch)!r}. The nearest names are {', '.join(near)}. "
        "For any other network give --model-def FILE.py:NAME."
    )


def _unrecognised(checkpoint: Checkpoint, shapes: Shapes) -> str:
    """Say which candidate is nearest and how it differs."""
    where = f"the architecture of {printable(checkpoint.path)} is not recognised"
    proposed = [candidate for group in _proposals(shapes) for candidate in group]
    if not proposed:
        classes = likely_classes(checkpoint.state) or 10
        proposed = [
            Candidate(name, partial(build, num_classes=classes), 32)
            for name, build in ARCHITECTURES.items()
        ]
    nearest = max(_attempts(proposed, checkpoint), key=_agreeing, default=None)
    if nearest is None or not nearest.comparison.agreeing:
        names = ", ".join(printable(name) for name in list(shapes)[:5])
        return f"{where}: its tensors ({names}, ...) are like no network known here. {HINT}"
    comparison = nearest.comparison
    return (
        f"{where}. Nearest is {nearest.candidate.name}, in which {comparison.agreeing} of "
        f"{comparison.total} tensors agree; {comparison.describe()}. {HINT}"
    )

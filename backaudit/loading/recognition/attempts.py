"""Candidates built without storage, and how they compare with a file's tensors."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from backaudit.loading.recognition.fitting import Comparison, compare, fill
from backaudit.loading.recognition.hub import config_in, stated_candidates
from backaudit.nets.architectures import Candidate, candidates
from backaudit.nets.architectures.candidate import Shapes
from backaudit.nets.timm_models import timm_candidates
from backaudit.nets.torchvision_models import torchvision_candidates
from backaudit.nets.transformers_models import transformers_candidates
from backaudit.nets.unallocated import Unallocated

# What constructors raise when shapes are read into settings that do not go together.
UNBUILDABLE = (
    *(ValueError, RuntimeError, AssertionError, ZeroDivisionError, IndexError, TypeError),
    *(AttributeError, KeyError),
)
STATED = "named by the file, and its tensors fit exactly"
RECOGNISED = "recognised from the names and shapes of the tensors"


@dataclass(frozen=True)
class Attempt:
    """A candidate, built without storage, and how it compares.

    Args:
        candidate: what was built.
        network: on the meta device.
        state: the file's tensors under the names of the network.
        comparison: of these tensors with the network's.
    """

    candidate: Candidate
    network: nn.Module
    state: Mapping[str, Tensor]
    comparison: Comparison


@dataclass(frozen=True)
class Group:
    """Candidates that are as likely as each other.

    Args:
        how: they were found, for the report.
        candidates: to try; made when they are asked for.
    """

    how: str
    candidates: Iterable[Candidate]


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def proposals(shapes: Shapes, metadata: Mapping[str, object]) -> Iterator[Group]:
    """Groups of candidates, the preferred first; libraries are imported only if needed."""
    ours = candidates(shapes)
    yield Group(RECOGNISED, [candidate for candidate in ours if not candidate.fallback])
    yield Group(STATED, stated_candidates(metadata, shapes))
    yield Group(RECOGNISED, torchvision_candidates(shapes))
    yield Group(RECOGNISED, [candidate for candidate in ours if candidate.fallback])
    yield Group(RECOGNISED, transformers_candidates(shapes, config_in(metadata)))
    yield Group(RECOGNISED, timm_candidates(shapes))


def attempts(proposed: Iterable[Candidate], state: Mapping[str, Tensor]) -> Iterator[Attempt]:
    """Build and compare candidates, without those that cannot have such shapes."""
    for candidate in proposed:
        try:
            renamed = candidate.renamed(state) if candidate.renamed else state
            with Unallocated():
                network = candidate.build()
        except UNBUILDABLE:
            continue
        yield Attempt(candidate, network, renamed, compare(network, renamed))


def loaded(attempt: Attempt) -> nn.Module:
    """The network of an attempt that fits, with the tensors of the file."""
    kept = attempt.network.state_dict().keys()
    computed = [
        name
        for name, buffer in attempt.network.named_buffers()
        if buffer.is_meta and name not in kept
    ]
    # What a constructor computes and no file holds, such as a blur's kernel, must be made for real.
    network = attempt.candidate.build() if computed else attempt.network
    return fill(network, attempt.state)


def fitting(
    state: Mapping[str, Tensor], metadata: Mapping[str, object]
) -> tuple[str, list[Attempt]]:
    """Every candidate that fits, of the first group that has one, and how it was found."""
    for group in proposals(shapes_of(state), metadata):
        found = [each for each in attempts(group.candidates, state) if each.comparison.fits]
        if found:
            return group.how, found
    return "", []


def agreeing(attempt: Attempt) -> int:
    """How many tensors agree."""
    return attempt.comparison.agreeing

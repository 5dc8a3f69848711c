"""Refusals of files that have no place for new weights, or one that cannot be written to."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.loading.rewriting.numbering import NOWHERE
from backaudit.loading.rewriting.source import Source

STATISTICS = ("running_mean", "running_var")
SHOWN = 4
FOLDED = (
    "the weights of {} are not in it as the network has them, because what exported it folded them "
    "into others, or stored equal ones once. Purify the state dict that it was exported from, and "
    "export it again"
)
COMPUTED = (
    "the weights of {} are not in it: the network's definition computes them. Purify a file of the "
    "weights that it computes them from"
)
PACKED = (
    "the weights of {} are compressed in it, as torch does not write them. Read it with "
    "torch.load(FILE, weights_only=True), save that with torch.save, and purify the new file"
)
INLINE = (
    "the weights of {} lie one by one among its other fields. Save the network with torch.save, or "
    "export it with raw data, and purify that file"
)
TIED = (
    "the weights of {} are stored once in it for several parts of the network, which are changed "
    "each by itself. Save a state dict in which every tensor is a clone, and purify that"
)


def require_places(source: Source, network: nn.Module) -> None:
    """Refuse a file in which not every weight, nor every statistic, of a network can be replaced.

    Raises:
        CheckpointError: says which cannot, and what to do.
    """
    trained = [name for name, _ in network.named_parameters()]
    statistics = [name for name in source.numbers if name.endswith(STATISTICS)]
    require_writable(source, {name: source.numbers[name] for name in (*trained, *statistics)})
    _refuse(source, _tied(source, trained), TIED)


def require_writable(source: Source, numbers: Mapping[str, Tensor]) -> None:
    """Refuse weights that have no place in the file, or one that cannot be written to.

    Args:
        source: the file.
        numbers: name -> numbers of the elements that are to be written.

    Raises:
        CheckpointError: says which, and what to do.
    """
    graph = source.checkpoint.program is not None
    nowhere = [name for name, each in numbers.items() if bool((each == NOWHERE).any())]
    _refuse(source, nowhere, FOLDED if graph else COMPUTED)
    storages = {
        name: [source.numbering.records[i].storage for i, _ in by_record(source, each.flatten())]
        for name, each in numbers.items()
    }
    packed = [n for n, each in storages.items() if any(s.deflated is not None for s in each)]
    _refuse(source, packed, PACKED)
    _refuse(
        source, [n for n, each in storages.items() if any(s.file is None for s in each)], INLINE
    )


def _refuse(source: Source, names: Sequence[str], why: str) -> None:
    if names:
        raise CheckpointError(
            f"{printable(source.checkpoint.path)} cannot be given new weights: "
            f"{why.format(shown(names))}."
        )


def by_record(source: Source, numbers: Tensor) -> Iterator[tuple[int, Tensor | slice]]:
    """Each record that numbers (M,) lie in, by its index, and which of them do."""
    numbering = source.numbering
    if not len(numbers):
        return
    first, last = (numbering.place(int(end)) for end in numbers.aminmax())
    if first == last:
        yield first, slice(None)
        return
    starts = torch.tensor(numbering.starts, dtype=torch.int32)
    places = torch.bucketize(numbers, starts, right=True) - 1
    for index in places.unique().tolist():
        yield index, places == index


def shown(names: Sequence[str]) -> str:
    """The first few names, as they are in the file's own network."""
    plain = [printable(name.removeprefix("network.").removeprefix("network.")) for name in names]
    more = f" and {len(plain) - SHOWN} more" if len(plain) > SHOWN else ""
    return f"{', '.join(plain[:SHOWN])}{more}"


def _tied(source: Source, names: Sequence[str]) -> list[str]:
    """Names of weights whose numbers are also those of one named before."""
    last = source.numbering.starts[-1] + source.numbering.records[-1].numel()
    taken = torch.zeros(last, dtype=torch.bool)
    tied = []
    for name in names:
        numbers = source.numbers[name].long()
        if bool(taken[numbers].any()):
            tied.append(name)
        taken[numbers] = True
    return tied

"""What differs between two networks -> new numbers for the tensors of a file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backaudit.core.errors import OutputError
from backaudit.files.records import TensorRecord
from backaudit.loading.recognition.fitting import COUNTER
from backaudit.loading.rewriting.numbering import NOWHERE
from backaudit.loading.rewriting.refusals import by_record, require_writable, shown
from backaudit.loading.rewriting.source import Source, held

BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Edit:
    """New numbers of one stored tensor.

    Args:
        record: where it lies.
        elements: (M,) int64, which ones, counted along the record's shape.
        values: (M,) of the record's type.
    """

    record: TensorRecord
    elements: Tensor
    values: Tensor


@dataclass(frozen=True)
class Edits:
    """What makes one network's file another's.

    Args:
        edits: of the file's tensors.
        changed: names in the network of what differs.
        expected: name -> what the network must have when it is read from the edited file.
    """

    edits: tuple[Edit, ...]
    changed: tuple[str, ...]
    expected: Mapping[str, Tensor]


def edits_of(source: Source, before: nn.Module, after: nn.Module) -> Edits:
    """What to write so that a file becomes another network's.

    Args:
        source: the file.
        before: the suspect's network.
        after: of the same names and shapes.

    Raises:
        CheckpointError: if the file has no place for what differs.
        OutputError: if a new weight is NaN or infinite, or would be in the file's type.
    """
    was, found = _on_cpu(before, source), _on_cpu(after, source)
    now = {name: tensor.to(was[name].dtype) for name, tensor in found.items()}
    differing = {name: _bits(now[name]) != _bits(was[name]) for name in source.numbers}
    changed = {name: where for name, where in differing.items() if bool(where.any())}
    numbers = {name: source.numbers[name][where] for name, where in changed.items()}
    # A network counts batches, whether or not its file has a place for that.
    placed = {
        name: each
        for name, each in numbers.items()
        if not (name.endswith(COUNTER) and bool((each == NOWHERE).any()))
    }
    require_writable(source, placed)
    expected = {name: was[name].clone() for name in source.numbers if name not in changed}
    edits: list[Edit] = []
    for name, each in placed.items():
        where = changed[name]
        made = list(_edited(source, name, each, now[name][where]))
        edits.extend(edit for edit, _ in made)
        expected[name] = was[name].clone()
        rounded = torch.empty_like(now[name][where])
        for edit, chosen in made:
            rounded[chosen] = edit.values.to(rounded.dtype)
        expected[name][where] = rounded
    return Edits(tuple(edits), tuple(placed), expected)


def _edited(
    source: Source, name: str, numbers: Tensor, new: Tensor
) -> Iterator[tuple[Edit, Tensor | slice]]:
    """New numbers (M,) of one tensor, for each record that they lie in, and which of them do."""
    _require_finite(name, new)
    for index, chosen in by_record(source, numbers):
        record = source.numbering.records[index]
        values = new[chosen].to(getattr(torch, record.dtype))
        _require_finite(name, values, record.dtype)
        elements = numbers[chosen].long() - source.numbering.starts[index]
        yield Edit(record, elements, values), chosen


def differing(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Names of tensors that are not what they should be, bit by bit."""
    return [
        name
        for name, tensor in expected.items()
        if found[name].shape != tensor.shape or not torch.equal(_bits(found[name]), _bits(tensor))
    ]


def _on_cpu(network: nn.Module, source: Source) -> dict[str, Tensor]:
    tensors = held(network)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if any(shapes.get(name) != each.shape for name, each in source.numbers.items()):
        raise OutputError("the network is no changed copy of the suspect's: its weights differ")
    return {name: tensors[name].detach().cpu().contiguous() for name in source.numbers}


def _bits(tensor: Tensor) -> Tensor:
    """The same numbers as integers, among which NaN equals itself and 0 is not -0."""
    return tensor.detach().contiguous().view(BITS[tensor.element_size()])


def _require_finite(name: str, values: Tensor, dtype: str = "") -> None:
    if values.is_floating_point() and not bool(values.float().isfinite().all()):
        where = f"too large for the file's {dtype}" if dtype else "NaN or infinite"
        raise OutputError(f"new weights of {shown([name])} are {where}; nothing was written")

"""Which stored number is which element of a network? Found by identity, never by names."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.files.records import TensorRecord
from backaudit.loading.weights.checkpoint import Checkpoint
from backaudit.loading.weights.tensors import distinct

# As bit patterns of float32 all of these are below 1e-18: a network's own constants are not.
MOST_ELEMENTS = 2**29
# Counters are whole numbers; no network counts so far.
COUNTERS = 2**40
NOWHERE = 0


@dataclass(frozen=True)
class Numbering:
    """A number for every element of a checkpoint's tensors, from 1; tied tensors share theirs.

    Args:
        records: each once.
        starts: number of the first element of each.
        names: of the records, several of tied ones.
    """

    records: tuple[TensorRecord, ...]
    starts: tuple[int, ...]
    names: Mapping[str, int]

    @staticmethod
    def of(checkpoint: Checkpoint) -> "Numbering":
        """Number all elements.

        Raises:
            CheckpointError: if they are more than can be numbered.
        """
        records = tuple(distinct(checkpoint.records))
        starts, following = [], NOWHERE + 1
        for record in records:
            starts.append(following)
            following += record.numel()
        if following > MOST_ELEMENTS:
            raise CheckpointError(
                f"has {following:,} weights; files of more than {MOST_ELEMENTS:,} cannot be "
                "rewritten"
            )
        places = {record: index for index, record in enumerate(records)}
        names = {name: places[record] for name, record in checkpoint.records.items()}
        return Numbering(records, tuple(starts), names)

    def numbers(self, index: int) -> Tensor:
        """The numbers (of a record's shape, int32) of its elements."""
        record, start = self.records[index], self.starts[index]
        return torch.arange(start, start + record.numel(), dtype=torch.int32).view(record.shape)

    def marked(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state whose tensors hold their own numbers, which every copy of them keeps.

        Args:
            state: name -> tensor; whole numbers other than counters stay as they are.
        """
        made: dict[int, Tensor] = {}
        for name, tensor in state.items():
            made.setdefault(self.names[name], self._marked(self.names[name], tensor))
        return {name: made[self.names[name]] for name in state}

    def _marked(self, index: int, tensor: Tensor) -> Tensor:
        if tensor.dtype == torch.float32:
            return self.numbers(index).view(torch.float32)
        if tensor.dtype == torch.int64 and not tensor.dim():
            return self.numbers(index).long() + COUNTERS
        return tensor

    def read(self, tensor: Tensor) -> Tensor:
        """Numbers (int32) that a tensor of a marked network holds; ``NOWHERE`` for other values."""
        if tensor.dtype == torch.float32:
            found = tensor.detach().contiguous().view(torch.int32)
        elif tensor.dtype == torch.int64 and not tensor.dim():
            found = (tensor - COUNTERS).clamp(NOWHERE, MOST_ELEMENTS + 1).int()
        else:
            return torch.full(tensor.shape, NOWHERE, dtype=torch.int32)
        last = self.starts[-1] + self.records[-1].numel() - 1 if self.records else NOWHERE
        return torch.where((found > NOWHERE) & (found <= last), found, NOWHERE)

    def place(self, number: int) -> int:
        """Index of the record in which an element lies."""
        return bisect_right(self.starts, number) - 1


class Memory:
    """Where in memory the tensors of a checkpoint lie, by which views of them are known.

    Args:
        numbering: of the elements.
        state: name -> dense tensor on the CPU.
    """

    def __init__(self, numbering: Numbering, state: Mapping[str, Tensor]) -> None:
        self._numbering = numbering
        held = {numbering.names[name]: tensor for name, tensor in state.items() if tensor.numel()}
        self._held = sorted((tensor.data_ptr(), index, tensor) for index, tensor in held.items())
        self._addresses = [address for address, _, _ in self._held]

    def read(self, tensor: Tensor) -> Tensor:
        """Numbers (int32) of the elements that a tensor looks at; ``NOWHERE`` if it is a copy."""
        nowhere = torch.full(tensor.shape, NOWHERE, dtype=torch.int32)
        at = bisect_right(self._addresses, tensor.data_ptr()) - 1
        if at < 0 or not tensor.numel():
            return nowhere
        address, index, held = self._held[at]
        offset, rest = divmod(tensor.data_ptr() - address, tensor.element_size())
        sizes = zip(tensor.shape, tensor.stride(), strict=True)
        last = offset + sum((size - 1) * step for size, step in sizes)
        if rest or held.dtype != tensor.dtype or last >= held.numel():
            return nowhere
        numbers = self._numbering.numbers(index).reshape(-1)
        return numbers.as_strided(tensor.shape, tensor.stride(), offset).contiguous()

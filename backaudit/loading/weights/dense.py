"""A tensor as a file describes it -> a torch tensor that looks at the file's own bytes."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.records import ITEM_SIZES, Storage, TensorRecord, out_of_bounds

Read = Callable[[Storage], memoryview]


def check(name: str, record: TensorRecord) -> None:
    """Refuse what no ordinary dense tensor of numbers can be made of.

    Raises:
        CheckpointError: names the tensor and what is wrong with it.
    """
    trouble = record.trouble or ("complex" if record.dtype.startswith("complex") else "")
    if trouble:
        raise CheckpointError(
            f"has a tensor that is {trouble}, {printable(name)!r}: save ordinary dense weights"
        )
    wrong = out_of_bounds(record)
    if wrong:
        raise CheckpointError(
            f"has a tensor, {printable(name)!r}, that {wrong}: it is damaged or built to deceive"
        )


def tensor_of(record: TensorRecord, read: Read = Storage.read) -> Tensor:
    """Make a tensor of a record that ``check`` let pass; it must not be written to.

    Args:
        record: what to make.
        read: gives the bytes of a storage.

    Returns:
        A view of those bytes, of the record's own type and strides, unless they are not aligned.
    """
    dtype: torch.dtype = getattr(torch, record.dtype)
    if record.numel() == 0:
        return torch.empty(record.shape, dtype=dtype)
    with warnings.catch_warnings():
        # The bytes are mapped read-only, of which torch warns.
        warnings.filterwarnings("ignore", ".*not writable", UserWarning)
        data = torch.frombuffer(read(record.storage), dtype=torch.uint8)
    size = ITEM_SIZES[record.dtype]
    data = data[: len(data) - len(data) % size]
    # A format that packs its parts closely may put a number anywhere.
    aligned = data if data.data_ptr() % size == 0 else data.clone()
    return aligned.view(dtype).as_strided(record.shape, record.stride, record.offset)


def outlined(record: TensorRecord) -> Tensor:
    """A tensor without numbers, of a record that ``check`` let pass."""
    return torch.empty(record.shape, dtype=getattr(torch, record.dtype), device="meta")

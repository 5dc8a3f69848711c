"""Records of tensors that lie in memory, as a survey would tell of them."""

from torch import Tensor

from backaudit.files.records import Storage, TensorRecord
from backaudit.loading.weights.handover import _bytes


def record_of(tensor: Tensor) -> TensorRecord:
    data = bytes(_bytes(tensor))
    dense = tensor.contiguous()
    dtype = str(tensor.dtype).removeprefix("torch.")
    return TensorRecord(
        dtype, tuple(dense.shape), dense.stride(), 0, Storage(None, 0, len(data), inline=data)
    )


def recorded(value: object) -> object:
    """The same value with records for tensors."""
    if isinstance(value, Tensor):
        return record_of(value)
    if isinstance(value, dict):
        return {name: recorded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(recorded, value))
    return value

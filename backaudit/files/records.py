"""Tensors as a file describes them: a type, a shape, and where their bytes lie."""

import zlib
from dataclasses import dataclass
from math import prod

from backaudit.core.errors import CheckpointError
from backaudit.files.opened import OpenedFile

# Bytes of one element, by torch's name of its type.
ITEM_SIZES = {
    **dict.fromkeys(("bool", "uint8", "int8", "float8_e4m3fn", "float8_e5m2"), 1),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("float32", "int32", "uint32", "complex32"), 4),
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    "complex128": 16,
}
# Quantised numbers are stored, but no ordinary tensor is made of them.
QUANTISED_SIZES = {"qint8": 1, "quint8": 1, "qint32": 4}
MOST_DIMENSIONS = 64


@dataclass(frozen=True, slots=True)
class Storage:
    """Little-endian bytes that tensors share.

    Args:
        file: that holds them; None if they are in ``inline``.
        start: of the (packed) bytes in the file.
        nbytes: when unpacked.
        deflated: packed length, if they are compressed; None if they lie there as they are.
        inline: the bytes themselves, where a pickle or a graph carried them.
    """

    file: OpenedFile | None
    start: int
    nbytes: int
    deflated: int | None = None
    inline: bytes = b""

    def read(self) -> memoryview:
        """The bytes: a view of the mapped file unless they are compressed.

        Raises:
            CheckpointError: if they unpack to another number of bytes.
        """
        if self.file is None:
            return memoryview(self.inline)
        if self.deflated is None:
            return self.file.data[self.start : self.start + self.nbytes]
        packed = self.file.data[self.start : self.start + self.deflated]
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = unpacker.decompress(packed, self.nbytes + 1)
        except zlib.error as error:
            raise CheckpointError("is damaged or truncated: copy or download it again") from error
        if len(data) != self.nbytes:
            raise CheckpointError("has an entry that unpacks to another size than it claims")
        return memoryview(data)


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """One tensor, not yet made.

    Args:
        dtype: torch's name without ``torch.``, such as ``float32``.
        shape: sizes.
        stride: in elements.
        offset: of the first element in the storage, in elements.
        storage: its bytes.
        trouble: why no ordinary dense tensor can be made of it ("sparse", "quantised", ...); "" if
            one can.
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: Storage
    trouble: str = ""

    def dim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def numel(self) -> int:
        """Number of elements it claims to have."""
        return prod(self.shape)

    def is_floating_point(self) -> bool:
        """Whether its numbers are floating-point ones."""
        return "float" in self.dtype

    @property
    def nbytes(self) -> int:
        """Bytes it claims to have."""
        return self.numel() * ITEM_SIZES.get(self.dtype, 1)


def stored_bytes(dtype: str, numel: int) -> int:
    """Bytes that numbers of a type take.

    Raises:
        CheckpointError: if the type is not known.
    """
    size = ITEM_SIZES.get(dtype) or QUANTISED_SIZES.get(dtype)
    if size is None:
        raise CheckpointError(f"stores numbers of type {dtype}: save ordinary dense weights")
    return numel * size


def contiguous_stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in elements of a tensor whose last dimension varies fastest."""
    return tuple(prod(max(1, size) for size in shape[index + 1 :]) for index in range(len(shape)))


def out_of_bounds(record: TensorRecord) -> str | None:
    """Say why a record does not lie within its storage; None if it does.

    Each element must have bytes of its own: a view that claims more elements than its storage has
    (stride 0, overlapping strides) is how a small file asks for all memory there is.
    """
    item = ITEM_SIZES.get(record.dtype)
    if item is None:
        return f"has numbers of an unknown type ({record.dtype})"
    sizes = (*record.shape, *record.stride, record.offset)
    if len(record.shape) > MOST_DIMENSIONS or len(record.shape) != len(record.stride):
        return "has an impossible number of dimensions"
    if any(not isinstance(size, int) or isinstance(size, bool) or size < 0 for size in sizes):
        return "has a negative or impossible size, stride or offset"
    if record.numel() == 0:
        return None
    reach = sum((size - 1) * step for size, step in zip(record.shape, record.stride, strict=True))
    if (record.offset + reach + 1) * item > record.storage.nbytes:
        return "reaches outside its stored bytes"
    if record.numel() > reach + 1:
        return "claims more elements than it has bytes"
    return None

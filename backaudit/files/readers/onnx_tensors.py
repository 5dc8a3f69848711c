"""The tensors of an ONNX graph, as records of where their numbers lie."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.records import ITEM_SIZES, Storage, TensorRecord, contiguous_stride

EXTERNAL = 1
# torch's name by ONNX's number of a type.
TYPES = {
    **{1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64"},
    **{9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16"},
}
FLOATS = frozenset(number for number, name in TYPES.items() if "float" in name)
FORBIDDEN = ("/", "\\", ":", "\0")


@dataclass
class Tensors:
    """Makes records of a graph's tensors, and opens the files beside it that they lie in.

    Args:
        opened: the ONNX file.
        limits: of all files together.
    """

    opened: OpenedFile
    limits: Limits
    files: dict[str, OpenedFile] = field(default_factory=dict)
    claimed: int = 0

    def record(self, proto: Any, name: str, span: tuple[int, int] | None) -> TensorRecord:
        """The record of one tensor.

        Args:
            proto: ``TensorProto``, perhaps without its numbers.
            name: for messages.
            span: start and end of its numbers in the file; None if they lie elsewhere.

        Raises:
            CheckpointError: if the numbers are of another kind or amount than the tensor claims.
        """
        shape, dtype = tuple(proto.dims), TYPES.get(proto.data_type)
        if dtype is None:
            raise CheckpointError(
                f"has a tensor of a type that is not supported ({_type_name(proto.data_type)}), "
                f"{printable(name)!r}: export it with ordinary floating-point weights"
            )
        if any(size < 0 for size in shape):
            raise _wrong(name, "has a negative size")
        nbytes = prod(shape) * ITEM_SIZES[dtype]
        self.claimed += nbytes
        storage = self._storage(proto, name, span, nbytes)
        if storage.nbytes != nbytes:
            raise _wrong(name, f"claims {nbytes:,} bytes and has {storage.nbytes:,}")
        return TensorRecord(dtype, shape, contiguous_stride(shape), 0, storage)

    def _storage(self, proto: Any, name: str, span: tuple[int, int] | None, nbytes: int) -> Storage:
        if proto.data_location == EXTERNAL:
            return self._external(proto, name, nbytes)
        if span is not None:
            return Storage(self.opened, span[0], span[1] - span[0])
        data = proto.raw_data if proto.HasField("raw_data") else _typed(proto, name)
        return Storage(None, 0, len(data), inline=data)

    def _external(self, proto: Any, name: str, nbytes: int) -> Storage:
        told = {entry.key: entry.value for entry in proto.external_data}
        file = self._beside(told.get("location", ""))
        start = _count(told.get("offset", "0"), name)
        length = _count(told.get("length", str(nbytes)), name)
        if start + length > file.size:
            raise _wrong(name, "reaches outside the file that its numbers lie in")
        return Storage(file, start, length)

    def _beside(self, location: str) -> OpenedFile:
        if location in self.files:
            return self.files[location]
        if not location or location in (".", "..") or any(c in location for c in FORBIDDEN):
            raise CheckpointError(
                f"has weights in {printable(location)!r}, which is no plain file name: only files "
                "in the same folder are read"
            )
        path = self.opened.path.parent / location
        if _resolved(path).parent != self.opened.path.parent.resolve():
            raise CheckpointError(
                f"has weights in {printable(location)!r}, a link that leaves its folder: copy the "
                "file there"
            )
        taken = self.opened.size + sum(file.size for file in self.files.values())
        self.files[location] = _opened(path, self.limits.max_bytes - taken)
        return self.files[location]

    def check(self) -> None:
        """Refuse tensors that claim more together than the files can hold.

        Raises:
            CheckpointError: if they do.
        """
        size = self.opened.size + sum(file.size for file in self.files.values())
        self.limits.check_unpacked(self.claimed, size)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # Python before 3.13 raises the second for a loop
        raise CheckpointError(
            f"has weights in {printable(path.name)!r}, a link that leads nowhere: copy the "
            "file there"
        ) from error


def _opened(path: Path, max_bytes: int) -> OpenedFile:
    try:
        return OpenedFile(path, max_bytes)
    except CheckpointError as error:
        raise CheckpointError(
            f"has weights in {printable(path.name)!r} beside it, which {error}"
        ) from error


def _count(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise _wrong(name, "has an impossible offset or length")
    return int(text)


def _typed(proto: Any, name: str) -> bytes:
    """Little-endian numbers that lie one by one among the fields of the message."""
    from onnx import numpy_helper

    convert: Callable[[Any], Any] = numpy_helper.to_array
    try:
        array = convert(proto)
    except (ValueError, TypeError, OverflowError) as error:
        raise _wrong(name, "has other numbers than it claims") from error
    return bytes(array.astype(array.dtype.newbyteorder("<")).tobytes())


def _wrong(name: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"is damaged: its tensor {printable(name)!r} {why}; copy or export it again"
    )


def _type_name(number: int) -> str:
    from onnx import TensorProto

    names = {value: name for name, value in TensorProto.DataType.items()}
    return str(names.get(number, number)).lower()

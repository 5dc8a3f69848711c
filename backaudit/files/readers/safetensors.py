"""Files of safetensors: a JSON header of names, types, shapes and places, then the bytes."""

from collections.abc import Mapping
from typing import Any

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.contents import Contents
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.plain_json import parsed_json
from backaudit.files.records import (
    MOST_DIMENSIONS,
    Storage,
    TensorRecord,
    contiguous_stride,
)

# Types by their names in the header.
DTYPES = {
    "BOOL": "bool",
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "C64": "complex64",
}
LENGTH = 8
METADATA = "__metadata__"
WRONG = "is a damaged safetensors file"
AGAIN = "copy or download it again"
FIELDS = {"dtype", "shape", "data_offsets"}


def read_safetensors(opened: OpenedFile, limits: Limits) -> Contents:
    """Read the header; the numbers stay where they are.

    Raises:
        CheckpointError: if it is damaged, or says what cannot be.
    """
    header, start = _header(opened, limits)
    metadata = header.pop(METADATA, {})
    if len(header) > limits.entries:
        raise CheckpointError(f"has {len(header)} tensors, over the limit of {limits.entries}")
    records = {name: _record(opened, start, name, entry) for name, entry in header.items()}
    _check_places(records, start, opened.size)
    return Contents(saved=records, metadata=_checked_metadata(metadata))


def _header(opened: OpenedFile, limits: Limits) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(opened.data[:LENGTH], "little")
    if length > limits.header:
        raise CheckpointError(
            f"{WRONG} (its header claims {length} bytes, the limit is {limits.header}): {AGAIN}"
        )
    if LENGTH + length > opened.size:
        raise CheckpointError(f"{WRONG} (cut off within its header): {AGAIN}")
    try:
        parsed = parsed_json(opened.data[LENGTH : LENGTH + length])
    except ValueError as error:
        raise CheckpointError(f"{WRONG} (its header: {error}): {AGAIN}") from error
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{WRONG} (its header is no table of names): {AGAIN}")
    return parsed, LENGTH + length


def _record(opened: OpenedFile, start: int, name: str, entry: object) -> TensorRecord:
    if not isinstance(entry, dict) or entry.keys() != FIELDS:
        raise _wrong(name, "is not described by a type, a shape and a place")
    dtype = DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise _wrong(name, f"has the type {printable(entry['dtype'])}, which is not known")
    shape, place = _sizes(entry["shape"]), _sizes(entry["data_offsets"])
    if shape is None or len(shape) > MOST_DIMENSIONS:
        raise _wrong(name, "has an impossible shape")
    if place is None or len(place) != 2 or place[0] > place[1]:
        raise _wrong(name, "has an impossible place")
    storage = Storage(opened, start + place[0], place[1] - place[0])
    record = TensorRecord(dtype, shape, contiguous_stride(shape), 0, storage)
    if record.nbytes != storage.nbytes:
        raise _wrong(name, f"needs {record.nbytes} bytes, but has {storage.nbytes}")
    return record


def _wrong(name: str, what: str) -> CheckpointError:
    return CheckpointError(f"{WRONG} ({printable(name)!r} {what}): {AGAIN}")


def _sizes(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    whole = [size for size in value if type(size) is int and 0 <= size < 1 << 63]
    return tuple(whole) if len(whole) == len(value) else None


def _check_places(records: Mapping[str, TensorRecord], start: int, size: int) -> None:
    """The tensors must fill the rest of the file, one after the other."""
    at = start
    for name, record in sorted(records.items(), key=lambda item: _place(item[1])):
        if record.storage.start != at:
            what = "overlaps another tensor" if record.storage.start < at else "follows a hole"
            raise _wrong(name, what)
        at += record.storage.nbytes
        if at > size:
            raise _wrong(name, "reaches beyond the end of the file, which is cut off")
    if at != size:
        raise CheckpointError(f"{WRONG} ({size - at} bytes follow the last tensor): {AGAIN}")


def _place(record: TensorRecord) -> tuple[int, int]:
    return record.storage.start, record.storage.nbytes


def _checked_metadata(metadata: object) -> dict[str, object]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError(f"{WRONG} (its metadata is no table of texts): {AGAIN}")
    return dict(metadata)

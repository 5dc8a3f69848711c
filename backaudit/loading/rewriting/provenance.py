"""Where a file came from, in the metadata of formats that have any."""

import json
from collections.abc import Iterator, Mapping
from itertools import count

from backaudit.files.readers.onnx_wire import BYTES, varint
from backaudit.files.readers.safetensors import LENGTH, METADATA

# Fields of ONNX's ModelProto and StringStringEntryProto.
METADATA_PROPS, KEY, VALUE = 14, 1, 2
ALIGNMENT = 8


def safetensors_header(header: bytes, provenance: Mapping[str, str]) -> bytes:
    """A header, with its length before it, that says more; all else in it stays in its order.

    Args:
        header: JSON.
        provenance: what to add; a key that is there already gets a number.
    """
    told = json.loads(header)
    known = told.get(METADATA, {})
    more = {METADATA: {**known, **dict(_free(provenance, known))}}
    merged = {**told, **more} if METADATA in told else {**more, **told}
    data = json.dumps(merged, separators=(",", ":")).encode()
    data += b" " * (-len(data) % ALIGNMENT)
    return len(data).to_bytes(LENGTH, "little") + data


def onnx_entries(provenance: Mapping[str, str], known: Mapping[str, object]) -> bytes:
    """Fields to append to an ONNX model.

    Args:
        provenance: what to add; a key that is there already gets a number.
        known: what is there already.
    """
    return b"".join(
        _field(METADATA_PROPS, _field(KEY, key.encode()) + _field(VALUE, value.encode()))
        for key, value in _free(provenance, known)
    )


def _free(provenance: Mapping[str, str], known: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in provenance.items():
        names = (key if number == 1 else f"{key} ({number})" for number in count(1))
        yield next(name for name in names if name not in known), value


def _field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | BYTES) + varint(len(data)) + data

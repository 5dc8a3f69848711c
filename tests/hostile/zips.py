"""A zip writer that lies where it is told to."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
LOCAL_FIELDS = {
    "version": "H",
    "flags": "H",
    "method": "H",
    "time": "H",
    "date": "H",
    "crc": "I",
    "packed": "I",
    "size": "I",
    "name_length": "H",
    "extra_length": "H",
}
CENTRAL_FIELDS = {
    "made_by": "H",
    **LOCAL_FIELDS,
    "comment_length": "H",
    "disk": "H",
    "internal": "H",
    "external": "I",
    "offset": "I",
}
END_FIELDS = {
    "disk": "H",
    "central_disk": "H",
    "entries_here": "H",
    "entries": "H",
    "central_size": "I",
    "central_offset": "I",
    "comment_length": "H",
}
JANUARY_1980 = 33


@dataclass(frozen=True)
class Entry:
    """One entry.

    Args:
        name: in both headers.
        data: unpacked.
        deflate: whether to compress it.
        local: fields of the local header that differ from the truth (``name`` included).
        central: the same for the central directory; None leaves the entry out of it.
        extra: bytes of the extra field in both headers.
    """

    name: str
    data: bytes = b""
    deflate: bool = False
    local: Mapping[str, int | bytes] = field(default_factory=dict)
    central: Mapping[str, int | bytes] | None = field(default_factory=dict)
    extra: bytes = b""


@dataclass(frozen=True)
class Zip:
    """A written archive.

    Args:
        data: the whole file.
        boundaries: offsets at which a header, a name, an entry's bytes or a record ends.
    """

    data: bytes
    boundaries: tuple[int, ...]


def zipped(*entries: Entry, **end: int | bytes) -> bytes:
    """The bytes of an archive; ``end`` overrides fields of its end record."""
    return written(*entries, **end).data


def written(*entries: Entry, **end: int | bytes) -> Zip:
    """An archive, and where its parts end."""
    data, boundaries, directory = b"", [], []
    for entry in entries:
        offset = len(data)
        for part in _local(entry):
            data += part
            boundaries.append(len(data))
        if entry.central is not None:
            directory.append(_central(entry, offset))
    start = len(data)
    for record in directory:
        data += record
        boundaries.append(len(data))
    truth = {
        "entries_here": len(directory),
        "entries": len(directory),
        "central_size": len(data) - start,
        "central_offset": start,
    }
    comment = end.pop("comment", b"")
    assert isinstance(comment, bytes)
    fields = truth | {"comment_length": len(comment)} | end
    data += END + _record(END_FIELDS, fields)
    return Zip(data + comment, (*boundaries, len(data)))


def _record(form: Mapping[str, str], values: Mapping[str, object]) -> bytes:
    return struct.pack("<" + "".join(form.values()), *(values.get(name, 0) for name in form))


def _truth(entry: Entry, payload: bytes) -> dict[str, int | bytes]:
    return {
        "version": 20,
        "made_by": 20,
        "method": 8 if entry.deflate else 0,
        "date": JANUARY_1980,
        "crc": zlib.crc32(entry.data),
        "packed": len(payload),
        "size": len(entry.data),
        "name": entry.name.encode(),
        "extra": entry.extra,
    }


def _payload(entry: Entry) -> bytes:
    return _deflated(entry.data) if entry.deflate else entry.data


@lru_cache(maxsize=4)
def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _named(values: dict[str, int | bytes]) -> tuple[bytes, bytes, dict[str, int | bytes]]:
    name, extra = values.pop("name"), values.pop("extra")
    assert isinstance(name, bytes)
    assert isinstance(extra, bytes)
    return name, extra, {"name_length": len(name), "extra_length": len(extra)} | values


def _local(entry: Entry) -> tuple[bytes, ...]:
    payload = _payload(entry)
    name, extra, values = _named(_truth(entry, payload) | dict(entry.local))
    return LOCAL + _record(LOCAL_FIELDS, values), name + extra, payload


def _central(entry: Entry, offset: int) -> bytes:
    values = _truth(entry, _payload(entry)) | {"offset": offset} | dict(entry.central or {})
    name, extra, values = _named(values)
    return CENTRAL + _record(CENTRAL_FIELDS, values) + name + extra

"""Zip archives, written field by field, so that each field can lie."""

import struct
import zlib
from dataclasses import dataclass, field

LOCAL = "<4s5H3L2H"
CENTRAL = "<4s6H3L5H2L"
END = "<4s4H2LH"


@dataclass(frozen=True)
class Entry:
    name: bytes
    data: bytes
    local: dict[str, int | bytes] = field(default_factory=dict)
    central: dict[str, int | bytes] = field(default_factory=dict)
    deflated: bool = False
    after: bytes = b""


def archive(*entries: Entry, **end: int | bytes) -> bytes:
    """Header fields are named as in ``Header``; those of the end: count, start, comment, gap."""
    body, directory = b"", b""
    for entry in entries:
        packed = _deflated(entry.data) if entry.deflated else entry.data
        fields = {
            "name": entry.name,
            "flags": 0,
            "method": 8 if entry.deflated else 0,
            "crc": zlib.crc32(entry.data),
            "packed": len(packed),
            "nbytes": len(entry.data),
            "extra": b"",
            "attributes": 0,
            "made": 0,
            "offset": len(body),
        }
        directory += _central(fields | entry.central)
        body += _local(fields | entry.local) + packed + entry.after
    told = {"count": len(entries), "start": len(body), "size": len(directory)} | end
    return body + directory + _end(told)


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _local(f: dict[str, int | bytes]) -> bytes:
    head = struct.pack(
        LOCAL,
        *(b"PK\x03\x04", 20, f["flags"], f["method"], 0, 0, f["crc"], f["packed"], f["nbytes"]),
        *(len(bytes(f["name"])), len(bytes(f["extra"]))),
    )
    return head + bytes(f["name"]) + bytes(f["extra"])


def _central(f: dict[str, int | bytes]) -> bytes:
    head = struct.pack(
        CENTRAL,
        *(b"PK\x01\x02", f["made"], 20, f["flags"], f["method"], 0, 0, f["crc"]),
        *(f["packed"], f["nbytes"], len(bytes(f["name"])), len(bytes(f["extra"])), 0, 0, 0),
        *(f["attributes"], f["offset"]),
    )
    return head + bytes(f["name"]) + bytes(f["extra"])


def _end(told: dict[str, int | bytes]) -> bytes:
    comment, gap = bytes(told.get("comment", b"")), bytes(told.get("gap", b""))
    counts = (told["count"], told["count"], told["size"], told["start"], len(comment))
    return gap + struct.pack(END, b"PK\x05\x06", 0, 0, *counts) + comment

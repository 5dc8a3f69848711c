"""Checksums in a zip archive whose entries were changed in place."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from backaudit.files.archives.archive import DESCRIBED
from backaudit.files.archives.zip_headers import (
    DESCRIPTOR_MARK,
    LOCAL_MARK,
    central_headers,
    ending,
    local_header,
)

# Where in the two kinds of header the checksum stands.
IN_LOCAL, IN_CENTRAL = 14, 16
LENGTH = 4
CHUNK = 2**22
Span = tuple[int, int]


@dataclass(frozen=True)
class Entry:
    """An entry of an archive, by offsets in the file.

    Args:
        start: of its bytes, which are not compressed.
        end: of its bytes.
        checksums: where its checksum stands.
    """

    start: int
    end: int
    checksums: tuple[int, ...]


def restore(copy: BinaryIO, original: memoryview, changed: Sequence[Span], base: int = 0) -> None:
    """Make the checksums of changed entries right, also in archives within the archive.

    Args:
        copy: of the file, open for reading and writing.
        original: bytes of the archive before they were changed.
        changed: start and end in the file of what was changed.
        base: offset of the archive in the file.
    """
    for entry in _entries(original, base):
        within = [span for span in changed if entry.start <= span[0] and span[1] <= entry.end]
        if not within:
            continue
        inner = original[entry.start - base : entry.end - base]
        if bytes(inner[:LENGTH]) == LOCAL_MARK and (entry.start, entry.end) not in within:
            restore(copy, inner, within, entry.start)
        checksum = _checksum(copy, entry).to_bytes(LENGTH, "little")
        for place in entry.checksums:
            copy.seek(place)
            copy.write(checksum)


def _entries(data: memoryview, base: int) -> Iterator[Entry]:
    found = ending(data)
    at = found.start
    for central in central_headers(data, found):
        local = local_header(data, central.offset)
        end = local.end + central.packed
        places = [base + at + IN_CENTRAL]
        if local.flags & DESCRIBED:
            marked = bytes(data[end : end + LENGTH]) == DESCRIPTOR_MARK
            places.append(base + end + (LENGTH if marked else 0))
        # A writer that learns the checksum later leaves the first place empty.
        if any(data[central.offset + IN_LOCAL :][:LENGTH]) or not local.flags & DESCRIBED:
            places.append(base + central.offset + IN_LOCAL)
        yield Entry(base + local.end, base + end, tuple(places))
        at = central.end


def _checksum(copy: BinaryIO, entry: Entry) -> int:
    copy.seek(entry.start)
    checksum, left = 0, entry.end - entry.start
    while left:
        chunk = copy.read(min(CHUNK, left))
        checksum, left = zlib.crc32(chunk, checksum), left - len(chunk)
    return checksum

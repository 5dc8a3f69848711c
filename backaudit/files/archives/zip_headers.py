"""The headers of a zip archive, unpacked from bytes and not yet believed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import Struct

from backaudit.core.errors import CheckpointError

DAMAGED = "is damaged or truncated: copy or download it again"
LOCAL_MARK = b"PK\x03\x04"
CENTRAL_MARK = b"PK\x01\x02"
END_MARK = b"PK\x05\x06"
END64_MARK = b"PK\x06\x06"
LOCATOR_MARK = b"PK\x06\x07"
DESCRIPTOR_MARK = b"PK\x07\x08"
LONGEST_COMMENT = 0xFFFF
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF
# Headers may lie within one another, so that each can be made to look large.
LONGEST_NAME = 4096
MOST_EXTRA_FIELDS = 32
ZIP64_FIELD, NAME_FIELD = 1, 0x7075

_LOCAL = Struct("<4s5H3L2H")
_CENTRAL = Struct("<4s6H3L5H2L")
_END = Struct("<4s4H2LH")
_END64 = Struct("<4sQ2H2L4Q")
_LOCATOR = Struct("<4sLQL")


@dataclass(frozen=True, slots=True)
class Header:
    """What a local header, or an entry of the central directory, says of a member.

    Args:
        name: bytes as they stand.
        flags: general-purpose bits.
        method: of compression.
        packed: bytes in the archive.
        nbytes: when unpacked.
        renamed: whether a further field gives it another name, which some programs take.
        end: offset of the first byte after this header.
        offset: of the local header; of a local header, its own.
        attributes: of a file system, with the system's number in the lowest byte.
    """

    name: bytes
    flags: int
    method: int
    packed: int
    nbytes: int
    renamed: bool
    end: int
    offset: int
    attributes: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """What the end of an archive says.

    Args:
        count: entries of the central directory.
        start: its offset.
        size: its bytes.
        records: offset at which the end records begin.
        trailing: bytes after its comment.
        alike: whether the 64-bit record, if there is one, agrees with the short one.
    """

    count: int
    start: int
    size: int
    records: int
    trailing: int
    alike: bool = True


def ending(data: memoryview) -> Ending:
    """Find the last end record.

    Raises:
        CheckpointError: if there is none, or the archive is split over several files.
    """
    tail = bytes(data[max(0, len(data) - LONGEST_COMMENT - _END.size) :])
    at = len(data) - len(tail) + tail.rfind(END_MARK)
    if END_MARK not in tail or at + _END.size > len(data):
        raise CheckpointError(DAMAGED)
    _, disk, first_disk, here, count, size, start, length = _END.unpack_from(data, at)
    trailing = len(data) - at - _END.size - length
    if trailing < 0:
        raise CheckpointError(DAMAGED)
    if disk not in (0, FULL16) or first_disk not in (0, FULL16) or here != count:
        raise CheckpointError("is one part of a split zip archive: join the parts first")
    short = Ending(count, start, size, at, trailing)
    if bytes(data[max(0, at - _LOCATOR.size) :][:4]) != LOCATOR_MARK:
        return short
    return _long_ending(data, short)


def _long_ending(data: memoryview, short: Ending) -> Ending:
    locator = short.records - _LOCATOR.size
    _, _, at, _ = _LOCATOR.unpack_from(data, locator)
    if at + _END64.size > locator or bytes(data[at : at + 4]) != END64_MARK:
        raise CheckpointError(DAMAGED)
    _, length, _, _, _, _, _, count, size, start = _END64.unpack_from(data, at)
    alike = (
        short.count in (count, FULL16)
        and short.size in (size, FULL32)
        and short.start in (start, FULL32)
        and at + 12 + length == locator
    )
    return Ending(count, start, size, at, short.trailing, alike)


def central_headers(data: memoryview, found: Ending) -> Iterator[Header]:
    """Every entry of the central directory.

    Raises:
        CheckpointError: if one is cut off.
    """
    at, last = found.start, found.start + found.size
    if last > found.records:
        raise CheckpointError(DAMAGED)
    while at < last:
        if at + _CENTRAL.size > last or bytes(data[at : at + 4]) != CENTRAL_MARK:
            raise CheckpointError(DAMAGED)
        (_, made, _, flags, method, _, _, _, packed, nbytes, *rest) = _CENTRAL.unpack_from(data, at)
        name_length, extra_length, comment_length, _, _, attributes, offset = rest
        name_at = at + _CENTRAL.size
        extra_at = name_at + name_length
        at = extra_at + extra_length + comment_length
        if at > last:
            raise CheckpointError(DAMAGED)
        extra = _extra(data[extra_at : extra_at + extra_length])
        nbytes, packed, offset = _long(extra, nbytes, packed, offset)
        name, renamed = _name(data[name_at:extra_at]), NAME_FIELD in extra
        system = attributes & ~0xFF | made >> 8
        yield Header(name, flags, method, packed, nbytes, renamed, at, offset, system)


def local_header(data: memoryview, at: int) -> Header:
    """The header that stands before a member's bytes.

    Raises:
        CheckpointError: if there is none at ``at``.
    """
    if at + _LOCAL.size > len(data) or bytes(data[at : at + 4]) != LOCAL_MARK:
        raise CheckpointError(DAMAGED)
    (_, _, flags, method, _, _, _, packed, nbytes, name_length, extra_length) = _LOCAL.unpack_from(
        data, at
    )
    name_at = at + _LOCAL.size
    extra_at = name_at + name_length
    end = extra_at + extra_length
    if end > len(data):
        raise CheckpointError(DAMAGED)
    extra = _extra(data[extra_at:end])
    nbytes, packed, _ = _long(extra, nbytes, packed, 0)
    name, renamed = _name(data[name_at:extra_at]), NAME_FIELD in extra
    return Header(name, flags, method, packed, nbytes, renamed, end, at)


def is_descriptor(data: memoryview, packed: int, nbytes: int) -> bool:
    """Whether bytes after a member repeat its sizes, in one of the four forms writers use."""
    forms = {
        mark_length + 4 + 2 * size: (mark_length, size) for mark_length in (0, 4) for size in (4, 8)
    }
    if len(data) not in forms:
        return False
    mark_length, size = forms[len(data)]
    sizes = b"".join(number.to_bytes(8, "little")[:size] for number in (packed, nbytes))
    marked = DESCRIPTOR_MARK[:mark_length]
    return bytes(data[:mark_length]) == marked and bytes(data[mark_length + 4 :]) == sizes


def _name(data: memoryview) -> bytes:
    if len(data) > LONGEST_NAME:
        raise CheckpointError(f"has an entry whose name has {len(data)} bytes, too many")
    return bytes(data)


def _extra(data: memoryview) -> dict[int, memoryview]:
    """Further fields by their kinds; of several of one kind, the first."""
    fields: dict[int, memoryview] = {}
    at = 0
    for _ in range(MOST_EXTRA_FIELDS):
        if at + 4 > len(data):
            return fields
        kind = int.from_bytes(data[at : at + 2], "little")
        length = int.from_bytes(data[at + 2 : at + 4], "little")
        fields.setdefault(kind, data[at + 4 : at + 4 + length])
        at += 4 + length
    raise CheckpointError("has an entry with more extra fields than any archive needs")


def _long(extra: Mapping[int, memoryview], *short: int) -> list[int]:
    """Fields that are too long for 32 bits, in the order of the format."""
    longer = bytes(extra.get(ZIP64_FIELD, b""))
    values = []
    for value in short:
        if value == FULL32:
            if len(longer) < 8:
                raise CheckpointError(DAMAGED)
            value, longer = int.from_bytes(longer[:8], "little"), longer[8:]
        values.append(value)
    return values

"""Protocol buffers, written field by field: enough of them for ONNX."""

from collections.abc import Iterable

VARINT, BYTES = 0, 2


def varint(value: int) -> bytes:
    """A number of any size; negative ones in 64-bit two's complement."""
    value %= 2**64
    data = b""
    while value > 127:
        data += bytes([value & 127 | 128])
        value >>= 7
    return data + bytes([value])


def number(field: int, value: int) -> bytes:
    """A field that holds an integer."""
    return varint(field << 3 | VARINT) + varint(value)


def text(field: int, value: str | bytes) -> bytes:
    """A field that holds text, bytes or another message."""
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | BYTES) + varint(len(data)) + data


def each(field: int, values: Iterable[str | bytes]) -> bytes:
    """A repeated field of texts or messages."""
    return b"".join(text(field, value) for value in values)


def fields(data: bytes) -> list[tuple[int, int]]:
    """Where the values of a message's fields start and end; none if it is no message."""
    found, at = [], 0
    while at < len(data):
        key, at = read_varint(data, at)
        start = at
        length, at = read_varint(data, at)
        if key & 7 == BYTES:
            start, at = at, at + length
        elif key & 7 != VARINT:
            return []
        if at > len(data):
            return []
        found.append((start, at))
    return found


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends; past the end there are only zeros."""
    value = shift = 0
    while data[at : at + 1] > b"\x7f":
        value, shift, at = value | (data[at] & 127) << shift, shift + 7, at + 1
    return value | (data[at] if at < len(data) else 0) << shift, at + 1

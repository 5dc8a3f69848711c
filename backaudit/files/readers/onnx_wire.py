"""The bytes of an ONNX file, walked before a parser sees them.

A parser makes objects of whatever it is given: two bytes become an empty message of a hundred.
Here every field is counted, what no network needs is left out, and weights stay where they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable

DAMAGED = "is damaged or truncated: copy or download it again"
MOST_FIELDS = 300_000
# The fields that are kept, by message: number -> kind of message, or "" for a plain value.
KEPT: dict[str, dict[int, str]] = {
    "model": {1: "", 2: "", 3: "", 7: "graph", 8: "entry", 14: "entry"},
    "graph": {1: "node", 2: "", 5: "initialiser", 11: "value", 12: "value"},
    "node": {1: "", 2: "", 3: "", 4: "", 5: "attribute", 7: ""},
    "attribute": {1: "", 2: "", 3: "", 4: "", 5: "tensor", 7: "", 8: "", 9: "", 20: ""},
    "tensor": {**dict.fromkeys(range(1, 12), ""), 13: "entry", 14: ""},
    "initialiser": {**dict.fromkeys((1, 2, 5, 6, 7, 8, 10, 11, 14), ""), 13: "entry"},
    "value": {1: "", 2: "type"},
    "type": {1: "tensor type"},
    "tensor type": {1: "", 2: "shape"},
    "shape": {1: "dimension"},
    "dimension": {1: "", 2: ""},
    "entry": {1: "", 2: ""},
}
REFUSED = {
    ("model", 25): "has functions of its own: inline them with onnx.inliner",
    ("graph", 15): "has sparse weights: save ordinary dense ones",
    ("attribute", 6): "has a graph within a graph (If, Loop or Scan)",
    ("attribute", 11): "has a graph within a graph (If, Loop or Scan)",
    ("attribute", 10): "has a list of tensors as an attribute",
    ("attribute", 22): "has sparse weights: save ordinary dense ones",
    ("attribute", 23): "has sparse weights: save ordinary dense ones",
    ("attribute", 21): "refers to an attribute of a function",
}
# Little-endian numbers as they lie: raw data, and packed single-precision ones.
DATA = (9, 4)
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIDTHS = {FIXED64: 8, FIXED32: 4}


@dataclass
class Skeleton:
    """An ONNX model without its weights.

    Args:
        spans: start and end of each initialiser's numbers in the file, in their order; None
            where they lie elsewhere or among the message's other fields.
        data: the message that is left, once walked.
    """

    spans: list[tuple[int, int] | None] = field(default_factory=list)
    data: bytes = b""
    fields: int = 0
    seen: set[tuple[str, int]] = field(default_factory=set)


def skeleton(data: memoryview, most_bytes: int) -> Skeleton:
    """Walk an ONNX model.

    Args:
        data: the whole file.
        most_bytes: of what is left without the weights.

    Raises:
        CheckpointError: if the file is damaged or has what cannot be used.
    """
    made = Skeleton()
    left = _walked(made, data, "model", 0, len(data))
    if len(left) > most_bytes:
        raise CheckpointError(
            f"has a graph of {len(left):,} bytes without its weights, over the limit of "
            f"{most_bytes:,}"
        )
    made.data = bytes(left)
    return made


def _walked(made: Skeleton, data: memoryview, kind: str, start: int, end: int) -> bytearray:
    left = bytearray()
    if kind == "initialiser":
        made.spans.append(None)
    for number, wire, first, begin, stop in fields(data, start, end):
        _check(made, data, kind, number, (start, end))
        if kind == "initialiser" and number in DATA and wire == BYTES:
            _keep_span(made, begin, stop)
            continue
        below = KEPT[kind].get(number, None if (kind, number) != ("initialiser", 4) else "")
        if below is None:
            continue
        if not below:
            left += data[first:stop]
        elif wire == BYTES:
            inner = _walked(made, data, below, begin, stop)
            left += varint(number << 3 | BYTES) + varint(len(inner)) + inner
        else:
            raise CheckpointError(DAMAGED)
    return left


def _check(
    made: Skeleton, data: memoryview, kind: str, number: int, within: tuple[int, int]
) -> None:
    made.fields += 1
    if made.fields > MOST_FIELDS:
        raise CheckpointError(f"has a graph of more than {MOST_FIELDS:,} fields")
    if (kind, number) in REFUSED:
        raise CheckpointError(REFUSED[kind, number] + _named(data, kind, within))
    if (kind, number) == ("model", 7):
        if (kind, number) in made.seen:
            raise CheckpointError("has two graphs: different programs would read different ones")
        made.seen.add((kind, number))


def _named(data: memoryview, kind: str, within: tuple[int, int]) -> str:
    """The name of an attribute, where it is what was refused."""
    if kind != "attribute":
        return ""
    names = (
        bytes(data[begin:stop])
        for number, wire, _, begin, stop in fields(data, *within)
        if (number, wire) == (1, BYTES)
    )
    name = next(names, b"").decode(errors="replace")
    return f" under {printable(name)!r}: export the network without it"


def _keep_span(made: Skeleton, begin: int, stop: int) -> None:
    if made.spans[-1] is not None:
        raise CheckpointError("has a tensor with two sets of numbers: damaged or made to deceive")
    if stop > begin:
        made.spans[-1] = (begin, stop)


def fields(data: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Number, wire type, start with the tag, start and end of the value of each field.

    Raises:
        CheckpointError: if the message is damaged.
    """
    at = start
    while at < end:
        first = at
        tag, at = _number(data, at, end)
        number, wire = tag >> 3, tag & 7
        begin = at
        if wire == VARINT:
            _, at = _number(data, at, end)
        elif wire == BYTES:
            length, begin = _number(data, at, end)
            at = begin + length
        elif wire in WIDTHS:
            at += WIDTHS[wire]
        else:
            raise CheckpointError(DAMAGED)
        if at > end or number == 0:
            raise CheckpointError(DAMAGED)
        yield number, wire, first, begin, at


def _number(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise CheckpointError(DAMAGED)


def varint(value: int) -> bytes:
    """A whole number from 0 up, seven bits a byte, the lowest first."""
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)

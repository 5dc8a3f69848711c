"""Changes to files that keep most of their structure: opcodes, archive fields, JSON, protobuf."""

import io
import json
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from tests.hostile.assembler import OPCODES, op
from tests.hostile.protobuf import varint
from tests.hostile.zips import CENTRAL_FIELDS, LOCAL_FIELDS, Entry, zipped

NUMBERS = (0, 1, 2, 7, 255, 256, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64, 10**30)
TEXTS = ("", "os", "system", "torch._utils", "a" * 300, "../x", "\0", "é", "__class__", "0")
NAMES = (
    ("os", "system"),
    ("builtins", "eval"),
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch", "FloatStorage"),
    ("argparse", "Namespace"),
    ("some_package", "Thing"),
)
# What a file that is broken already makes the parsers here raise.
BROKEN = (
    *(ValueError, LookupError, struct.error, RecursionError, OverflowError, AssertionError),
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error),
)
LONGEST = 60_000
Mutator = Callable[[bytes, Random], bytes]


def mutated(data: bytes, random: Random, donors: list[bytes]) -> bytes:
    """One to four changes, most of them of the file's own structure."""
    for _ in range(random.choice((1, 1, 2, 4))):
        choice = random.randrange(8)
        if choice == 0:
            data = _spliced(data, random, donors)
        else:
            data = flipped(data, random) if choice == 1 else _structured(data, random)
    return data[:LONGEST]


def _structured(data: bytes, random: Random) -> bytes:
    try:
        return _mutator(data)(data, random)
    except BROKEN:
        return flipped(data, random)


def _mutator(data: bytes) -> Mutator:
    if data[:2] == b"PK":
        return archive
    if data[:1] == b"\x80":
        return opcodes
    if data[8:9] == b"{":
        return header
    return message if data[:1] == b"\x08" else opcodes


def flipped(data: bytes, random: Random) -> bytes:
    """Bytes changed, removed, inserted or repeated, or the end cut off."""
    at = random.randrange(len(data) + 1)
    length = random.choice((1, 1, 2, 4, 8, 40))
    return random.choice(
        (
            data[:at] + random.randbytes(length) + data[at + length :],
            data[:at] + data[at + length :],
            data[:at] + random.randbytes(length) + data[at:],
            data[:at] + data[at : at + length] * 3 + data[at + length :],
            data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
            if at < len(data)
            else data,
            data[:at],
        )
    )


def _spliced(data: bytes, random: Random, donors: list[bytes]) -> bytes:
    donor = random.choice(donors)
    return data[: random.randrange(len(data) + 1)] + donor[random.randrange(len(donor) + 1) :]


def opcodes(data: bytes, random: Random) -> bytes:
    """A pickle (or several in a row) with opcodes changed."""
    parts = _split(data)
    at = random.randrange(len(parts))
    choice = random.randrange(6)
    if choice == 0:
        del parts[at]
    elif choice == 1:
        parts.insert(at, parts[random.randrange(len(parts))])
    elif choice == 2:
        other = random.randrange(len(parts))
        parts[at], parts[other] = parts[other], parts[at]
    elif choice == 3:
        parts[at] = _opcode(random)
    elif choice == 4:
        parts[at:at] = [_opcode(random) for _ in range(random.choice((1, 1, 3)))]
    else:
        start = random.randrange(len(parts))
        parts[at:at] = parts[start : start + random.choice((2, 5, 20))]
    return b"".join(parts)


def _split(data: bytes) -> list[bytes]:
    """Opcodes with their arguments; what cannot be read stays in one piece."""
    starts, stream = [], io.BytesIO(data)
    try:
        while stream.tell() < len(data):
            starts += [position or 0 for _, _, position in pickletools.genops(stream)]
    except ValueError:
        pass
    ends = [*starts[1:], max(stream.tell(), starts[-1] if starts else 0)]
    parts = [data[start:end] for start, end in zip(starts, ends, strict=True) if end > start]
    rest = data[sum(map(len, parts)) :]
    return [*parts, *([rest] if rest else [])] or [data]


def _opcode(random: Random) -> bytes:
    name = random.choice(tuple(OPCODES))
    argument = OPCODES[name].arg
    if argument is None:
        return op(name)
    if argument.name == "stringnl_noescape_pair":
        return op(name, random.choice(NAMES))
    if "string" in argument.name:
        return op(name, random.choice(TEXTS).split("\n")[0])
    if "bytes" in argument.name or "bytearray" in argument.name:
        return op(name, random.randbytes(random.choice((0, 1, 8, 200))))
    return op(name, _fitting(random, argument.name))


def _fitting(random: Random, kind: str) -> Any:
    number = random.choice(NUMBERS)
    bits = {"uint1": 8, "uint2": 16, "uint4": 32, "uint8": 64, "int4": 31}.get(kind)
    if kind.startswith("float"):
        return float(number)
    return abs(number) % 2**bits if bits else number


def archive(data: bytes, random: Random) -> bytes:
    """An archive with an entry, a header field or the end record changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        entries = [Entry(info.filename, source.read(info)) for info in source.infolist()]
    if not entries:
        return flipped(data, random)
    at = random.randrange(len(entries))
    entry = entries[at]
    choice = random.randrange(8)
    if choice <= 3:
        entries[at] = Entry(entry.name, _inner(entry, random), deflate=choice == 3)
    elif choice == 4:
        entries[at] = Entry(entry.name, entry.data, **_lie(random))  # type: ignore[arg-type]
    elif choice == 5:
        entries.insert(random.randrange(len(entries) + 1), entry)
    elif choice == 6:
        other = entries[random.randrange(len(entries))]
        entries[at] = Entry(random.choice((other.name, *TEXTS, entry.name.upper())), entry.data)
    else:
        del entries[at]
    return zipped(*entries)


def _lie(random: Random) -> dict[str, dict[str, int]]:
    lies: dict[str, dict[str, int]] = {}
    for header, fields in (("local", LOCAL_FIELDS), ("central", CENTRAL_FIELDS)):
        if random.random() < 0.7:
            name = random.choice([name for name in fields if not name.endswith("_length")])
            bits = 16 if fields[name] == "H" else 32
            lies[header] = {name: abs(random.choice(NUMBERS)) % 2**bits}
    return lies


def _inner(entry: Entry, random: Random) -> bytes:
    if entry.name.endswith(".json"):
        return json.dumps(_changed(json.loads(entry.data), random)).encode()
    if entry.name.endswith("pkl") and entry.data:
        return opcodes(entry.data, random)
    return flipped(entry.data, random)


def header(data: bytes, random: Random) -> bytes:
    """A safetensors file with its header changed."""
    length = int.from_bytes(data[:8], "little")
    content = json.loads(data[8 : 8 + length])
    text = json.dumps(_changed(content, random)).encode()
    claimed = random.choice(NUMBERS) % 2**64 if random.random() < 0.1 else len(text)
    return struct.pack("<Q", claimed) + text + data[8 + length :]


def _changed(value: Any, random: Random, depth: int = 0) -> Any:
    if isinstance(value, dict) and value and (depth == 0 or random.random() < 0.8):
        key = random.choice(list(value))
        if random.random() < 0.1:
            return {name: item for name, item in value.items() if name != key}
        name = random.choice(TEXTS) if random.random() < 0.1 else key
        return {**value, name: _changed(value[key], random, depth + 1)}
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        more = [value[at]] if random.random() < 0.2 else []
        return [*value[:at], _changed(value[at], random, depth + 1), *more, *value[at + 1 :]]
    return random.choice((*NUMBERS, *TEXTS, None, True, 0.5, [], {}, [value], {"a": value}))


def message(data: bytes, random: Random, depth: int = 0) -> bytes:
    """A protocol buffer with a field changed, removed or repeated, at any depth."""
    fields = _fields(data)
    at = random.randrange(len(fields))
    key, value, text = fields[at]
    choice = random.randrange(10)
    if choice == 0:
        del fields[at]
    elif choice == 1:
        fields.insert(random.randrange(len(fields) + 1), fields[at])
    elif choice == 2:
        fields[at] = (abs(random.choice(NUMBERS)) % 2**31, value, text)
    elif text is None:
        fields[at] = (key, random.choice(NUMBERS), None)
    else:
        fields[at] = (key, 0, _field_text(text, random, depth))
    return b"".join(_field(*field) for field in fields)


def _field_text(text: bytes, random: Random, depth: int) -> bytes:
    if depth < 8 and text and random.random() < 0.8:
        try:
            return message(text, random, depth + 1)
        except (ValueError, LookupError):
            pass
    return random.choice((flipped(text, random), random.choice(TEXTS).encode()))


def _field(key: int, value: int, text: bytes | None) -> bytes:
    if text is None:
        return varint(key) + varint(value)
    return varint(key) + varint(len(text)) + text


def _fields(data: bytes) -> list[tuple[int, int, bytes | None]]:
    fields, at = [], 0
    while at < len(data):
        key, at = _number(data, at)
        value, at = _number(data, at)
        if key & 7 == 0:
            fields.append((key, value, None))
        elif key & 7 == 2 and at + value <= len(data):
            fields.append((key, 0, data[at : at + value]))
            at += value
        else:
            raise ValueError("no message")
    if not fields:
        raise ValueError("no message")
    return fields


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] > 127:
        value, shift, at = value | (data[at] & 127) << shift, shift + 7, at + 1
    return value | data[at] << shift, at + 1

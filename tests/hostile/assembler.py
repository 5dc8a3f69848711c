"""A small pickle assembler: opcodes by name, and expressions that call things."""

import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

OPCODES = {opcode.name: opcode for opcode in pickletools.opcodes}


def _packed(form: str) -> Callable[[Any], bytes]:
    return lambda value: struct.pack(form, value)


def _counted(form: str) -> Callable[[Any], bytes]:
    def write(value: bytes | str) -> bytes:
        data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        return struct.pack(form, len(data)) + data

    return write


def _line(value: object) -> bytes:
    return (value if isinstance(value, bytes) else str(value).encode()) + b"\n"


def _little_endian(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)


WRITERS: dict[str, Callable[[Any], bytes]] = {
    "uint1": _packed("<B"),
    "uint2": _packed("<H"),
    "int4": _packed("<i"),
    "uint4": _packed("<I"),
    "uint8": _packed("<Q"),
    "float8": _packed(">d"),
    **dict.fromkeys(("string1", "bytes1", "unicodestring1"), _counted("<B")),
    **dict.fromkeys(("string4", "bytes4", "unicodestring4"), _counted("<I")),
    **dict.fromkeys(("bytes8", "bytearray8", "unicodestring8"), _counted("<Q")),
    "long1": lambda value: _counted("<B")(_little_endian(value)),
    "long4": lambda value: _counted("<I")(_little_endian(value)),
    "stringnl": lambda value: _line(repr(value)),
    "stringnl_noescape": _line,
    "stringnl_noescape_pair": lambda pair: _line(pair[0]) + _line(pair[1]),
    "unicodestringnl": lambda value: _line(value.encode("raw-unicode-escape")),
    **dict.fromkeys(("decimalnl_short", "floatnl"), _line),
    "decimalnl_long": lambda value: _line(f"{value}L"),
}


def op(name: str, argument: object = None) -> bytes:
    """One opcode with its argument."""
    opcode = OPCODES[name]
    head = opcode.code.encode("latin-1")
    return head if opcode.arg is None else head + WRITERS[opcode.arg.name](argument)


@dataclass(frozen=True)
class Global:
    """A name to import, and the opcode that names it.

    Args:
        module: dotted.
        name: within the module.
        way: ``GLOBAL`` or ``STACK_GLOBAL``.
    """

    module: str
    name: str
    way: str = "GLOBAL"


@dataclass(frozen=True)
class Call:
    """A call of a global, or of what another call returns.

    Args:
        target: what is called.
        args: with what.
        way: ``REDUCE``, ``INST``, ``OBJ``, ``NEWOBJ`` or ``NEWOBJ_EX``.
        keywords: for ``NEWOBJ_EX``.
    """

    target: "Global | Call"
    args: tuple[object, ...] = ()
    way: str = "REDUCE"
    keywords: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Bytes that leave one value on the stack."""

    data: bytes


@dataclass(frozen=True)
class Persistent:
    """A persistent identifier: what torch uses for storages."""

    value: object


def push(value: object) -> bytes:
    """Opcodes that leave a value on the stack."""
    return next(write(value) for kind, write in PUSHES.items() if isinstance(value, kind))


def _each(values: object) -> bytes:
    assert isinstance(values, (tuple, list))
    return b"".join(map(push, values))


def _integer(value: int) -> bytes:
    return op("BININT", value) if -(2**31) <= value < 2**31 else op("LONG1", value)


def _dict(value: dict[object, object]) -> bytes:
    pairs = b"".join(push(key) + push(item) for key, item in value.items())
    return op("EMPTY_DICT") + op("MARK") + pairs + op("SETITEMS")


def _global(value: Global) -> bytes:
    if value.way == "GLOBAL":
        return op("GLOBAL", (value.module, value.name))
    return push(value.module) + push(value.name) + op("STACK_GLOBAL")


def _call(value: Call) -> bytes:
    if value.way == "INST":
        assert isinstance(value.target, Global)
        names = (value.target.module, value.target.name)
        return op("MARK") + _each(value.args) + op("INST", names)
    if value.way == "OBJ":
        return op("MARK") + push(value.target) + _each(value.args) + op("OBJ")
    keywords = push(dict(value.keywords)) if value.way == "NEWOBJ_EX" else b""
    return push(value.target) + push(value.args) + keywords + op(value.way)


PUSHES: dict[type | tuple[type, ...], Callable[[Any], bytes]] = {
    type(None): lambda _: op("NONE"),
    bool: lambda value: op("NEWTRUE" if value else "NEWFALSE"),
    int: _integer,
    float: lambda value: op("BINFLOAT", value),
    str: lambda value: op("BINUNICODE", value),
    bytes: lambda value: op("BINBYTES", value),
    tuple: lambda value: op("MARK") + _each(value) + op("TUPLE"),
    list: lambda value: op("EMPTY_LIST") + op("MARK") + _each(value) + op("APPENDS"),
    dict: _dict,
    Global: _global,
    Call: _call,
    Raw: lambda value: value.data,
    Persistent: lambda value: push(value.value) + op("BINPERSID"),
}


def program(*parts: bytes, protocol: int = 2) -> bytes:
    """A whole pickle: the protocol, the parts and the end marker."""
    return op("PROTO", protocol) + b"".join(parts) + op("STOP")


def pickled(value: object, protocol: int = 2) -> bytes:
    """A whole pickle that makes a value."""
    return program(push(value), protocol=protocol)

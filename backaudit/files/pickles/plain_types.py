"""Plain values of the standard library that pickles make by a call."""

import datetime
from collections.abc import Callable
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from backaudit.files.pickles.keys import are_cheap
from backaudit.files.pickles.values import Inert, Misused, Reference

Args = tuple[Any, ...]
BASES = frozenset({"object", "dict", "list", "tuple", "set", "int", "float", "str"})
BUILTINS = ("builtins", "__builtin__")
ENCODINGS = frozenset({"latin1", "latin-1", "utf-8", "utf8", "ascii"})


def _dict(args: Args) -> object:
    """A dict of a dict or of pairs; without arguments, an empty one to be filled."""
    if not args or args[0] is None:
        return {}
    given = list(args[0].items()) if isinstance(args[0], dict) else args[0]
    if not isinstance(given, list | tuple):
        return NotImplemented
    pairs = [pair for pair in given if isinstance(pair, list | tuple) and len(pair) == 2]
    if len(pairs) < len(given) or not are_cheap([key for key, _ in pairs]):
        return NotImplemented
    made = {key: value for key, value in pairs}  # noqa: C416 - pairs may be lists
    return made if len(made) == len(pairs) else NotImplemented


def _default_dict(args: Args) -> object:
    return _dict(args[1:])


def _list(args: Args) -> object:
    given = args[0] if args else []
    return list(given) if isinstance(given, list | tuple | set | frozenset) else NotImplemented


def _tuple(args: Args) -> object:
    made = _list(args)
    return tuple(made) if isinstance(made, list) else NotImplemented


def _set(args: Args) -> object:
    made = _list(args)
    return set(made) if isinstance(made, list) and are_cheap(made) else made


def _frozen_set(args: Args) -> object:
    made = _set(args)
    return frozenset(made) if isinstance(made, set) else made


def _bytes(args: Args) -> object:
    """Bytes, of text with its encoding, or empty."""
    if not args:
        return b""
    if isinstance(args[0], bytes | bytearray) and len(args) == 1:
        return bytes(args[0])
    return _encoded(args)


def _encoded(args: Args) -> object:
    if len(args) != 2 or not isinstance(args[0], str) or args[1] not in ENCODINGS:
        return NotImplemented
    return args[0].encode(args[1])


def _byte_array(args: Args) -> object:
    made = _bytes(args)
    return bytearray(made) if isinstance(made, bytes) else made


def _complex(args: Args) -> object:
    return complex(*args) if all(isinstance(arg, int | float) for arg in args) else NotImplemented


def _whole(args: Args) -> object:
    return int(args[0]) if args and isinstance(args[0], int | float) else NotImplemented


def _float(args: Args) -> object:
    return float(args[0]) if args and isinstance(args[0], int | float) else NotImplemented


def _truth(args: Args) -> object:
    return bool(args[0]) if args and isinstance(args[0], int | float) else NotImplemented


def _text(args: Args) -> object:
    return args[0] if args and isinstance(args[0], str) else NotImplemented


def _reconstructed(args: Args) -> object:
    """What ``copyreg`` makes of a class, the plain type below it, and a value of that type."""
    kind, base, value = args
    if not isinstance(kind, Reference) or not isinstance(base, Reference):
        return NotImplemented
    if base.module not in BUILTINS or base.name not in BASES:
        raise Misused(f"makes an object by {base}, which no honest program does")
    return Inert(kind, () if value is None else (value,))


def _path(kind: type[PurePath]) -> Callable[[Args], object]:
    def made(args: Args) -> object:
        if not all(isinstance(arg, str) for arg in args):
            return NotImplemented
        return str(kind(*args))

    return made


def _packed(args: Args, length: int) -> bytes:
    """Bytes in which dates and times keep themselves."""
    data = args[0] if args else None
    packed = data.encode("latin-1") if isinstance(data, str) else data
    return packed if isinstance(packed, bytes) and len(packed) == length else b""


def _moment(args: Args) -> object:
    packed = _packed(args, 10)
    if not packed:
        return NotImplemented
    year, (month, day, hour, minute, second) = int.from_bytes(packed[:2], "big"), packed[2:7]
    micro = int.from_bytes(packed[7:], "big")
    zone = str(args[1]) if len(args) > 1 and isinstance(args[1], str) else ""
    time = datetime.time(hour, minute, second, micro)
    return f"{datetime.date(year, month & 127, day)} {time}{zone}"


def _date(args: Args) -> object:
    packed = _packed(args, 4)
    if not packed:
        return NotImplemented
    return str(datetime.date(int.from_bytes(packed[:2], "big"), *packed[2:]))


def _duration(args: Args) -> object:
    if not all(type(arg) is int for arg in args):
        return NotImplemented
    return str(datetime.timedelta(*args[:3]))


def _zone(args: Args) -> object:
    return f" UTC+{args[0]}" if args and isinstance(args[0], str) else NotImplemented


def _finish_namespace(made: Inert) -> object:
    return made.state if isinstance(made.state, dict) else made


_CALLS: dict[str, Callable[[Args], object]] = {
    "dict": _dict,
    "list": _list,
    "tuple": _tuple,
    "set": _set,
    "frozenset": _frozen_set,
    "bytes": _bytes,
    "bytearray": _byte_array,
    "complex": _complex,
    "int": _whole,
    "long": _whole,
    "float": _float,
    "bool": _truth,
    "str": _text,
    "unicode": _text,
}
_PATHS: dict[str, type[PurePath]] = {
    **dict.fromkeys(("Path", "PurePath", "PosixPath", "PurePosixPath"), PurePosixPath),
    **dict.fromkeys(("WindowsPath", "PureWindowsPath"), PureWindowsPath),
}
PLAIN: dict[tuple[str, str], Callable[[Args], object]] = {
    **{(module, name): call for module in BUILTINS for name, call in _CALLS.items()},
    **{
        (module, name): _path(kind)
        for module in ("pathlib", "pathlib._local")
        for name, kind in _PATHS.items()
    },
    ("collections", "OrderedDict"): _dict,
    ("collections", "Counter"): _dict,
    ("collections", "defaultdict"): _default_dict,
    ("collections", "deque"): _list,
    ("copyreg", "_reconstructor"): _reconstructed,
    ("copy_reg", "_reconstructor"): _reconstructed,
    ("_codecs", "encode"): _encoded,
    ("datetime", "datetime"): _moment,
    ("datetime", "date"): _date,
    ("datetime", "timedelta"): _duration,
    ("datetime", "timezone"): _zone,
    ("decimal", "Decimal"): _text,
}
PLAIN_FINISHERS: dict[tuple[str, str], Callable[[Inert], object]] = {
    ("argparse", "Namespace"): _finish_namespace,
    ("types", "SimpleNamespace"): _finish_namespace,
}

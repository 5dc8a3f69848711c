"""Numbers and arrays of numpy, as pickles hold them, made without numpy."""

import struct
from collections.abc import Callable
from math import prod
from typing import Any

from backaudit.files.pickles.values import Inert, Malformed, Reference
from backaudit.files.records import (
    ITEM_SIZES,
    MOST_DIMENSIONS,
    Storage,
    TensorRecord,
    contiguous_stride,
)

Args = tuple[Any, ...]
# numpy's codes: torch's name, and how ``struct`` reads one number.
CODES = {
    "b1": ("bool", "?"),
    "i1": ("int8", "b"),
    "i2": ("int16", "h"),
    "i4": ("int32", "i"),
    "i8": ("int64", "q"),
    "u1": ("uint8", "B"),
    "u2": ("uint16", "H"),
    "u4": ("uint32", "I"),
    "u8": ("uint64", "Q"),
    "f2": ("float16", "e"),
    "f4": ("float32", "f"),
    "f8": ("float64", "d"),
    "c8": ("complex64", "ff"),
    "c16": ("complex128", "dd"),
}
DTYPE = Reference("numpy", "dtype")
TEXT_ENCODINGS = {"U": "utf-32-le", "S": "latin-1"}


def _code(dtype: object) -> str:
    """Code of a type of little-endian numbers or text, such as ``f4``; "" for any other."""
    if not isinstance(dtype, Inert) or dtype.of != DTYPE or not dtype.args:
        return ""
    code, state = dtype.args[0], dtype.state
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
    if not isinstance(code, str) or code[:1] == ">" or order == ">":
        return ""
    return code.lstrip("<|=")


def as_bytes(data: object, length: int) -> bytes | None:
    """Bytes of so many numbers; Python 2 kept them in text, as whose characters or as UTF-8."""
    if isinstance(data, bytes | bytearray):
        return bytes(data) if len(data) == length else None
    if not isinstance(data, str):
        return None
    if len(data) == length and data.isascii():
        return data.encode("ascii")
    found = (_encoded(data, encoding) for encoding in ("latin-1", "utf-8"))
    return next((packed for packed in found if packed is not None and len(packed) == length), None)


def _encoded(text: str, encoding: str) -> bytes | None:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return None


def _scalar(args: Args) -> object:
    dtype, data = args
    code = _code(dtype)
    if code[:1] in TEXT_ENCODINGS and isinstance(data, bytes):
        return data.decode(TEXT_ENCODINGS[code[:1]]).rstrip("\0")
    if code not in CODES:
        return NotImplemented
    name, form = CODES[code]
    packed = as_bytes(data, ITEM_SIZES[name])
    if packed is None:
        raise Malformed
    numbers = struct.unpack(f"<{form}", packed)
    return complex(*numbers) if len(numbers) > 1 else numbers[0]


def _array(shape: object, dtype: object, fortran: bool, data: object) -> TensorRecord | None:
    """An array of plain numbers; None for text, objects, records and foreign byte orders."""
    code = _code(dtype)
    if code not in CODES:
        return None
    if not isinstance(shape, tuple) or len(shape) > MOST_DIMENSIONS:
        raise Malformed
    if any(type(size) is not int or size < 0 for size in shape):
        raise Malformed
    name = CODES[code][0]
    packed = as_bytes(data, prod(shape) * ITEM_SIZES[name])
    if packed is None:
        raise Malformed
    stride = contiguous_stride(shape[::-1])[::-1] if fortran else contiguous_stride(shape)
    return TensorRecord(name, shape, stride, 0, Storage(None, 0, len(packed), inline=packed))


def _from_buffer(args: Args) -> object:
    data, dtype, shape, order = args
    record = _array(shape, dtype, order == "F", data)
    return NotImplemented if record is None else record


def _finish(made: Inert) -> object:
    if not isinstance(made.state, tuple) or len(made.state) not in (4, 5):
        return made
    shape, dtype, fortran, data = made.state[-4:]
    record = _array(shape, dtype, bool(fortran), data)
    return made if record is None else record


_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")

NUMPY: dict[tuple[str, str], Callable[[Args], object]] = {
    **{(module, "scalar"): _scalar for module in _MULTIARRAY},
    **{(module, "_frombuffer"): _from_buffer for module in _NUMERIC},
}
NUMPY_FINISHERS: dict[tuple[str, str], Callable[[Inert], object]] = {
    (module, "_reconstruct"): _finish for module in _MULTIARRAY
}

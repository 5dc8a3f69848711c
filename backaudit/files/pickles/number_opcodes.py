"""Opcodes that push numbers, truth values and None."""

import struct

from backaudit.files.pickles.state import MOST_DIGITS, State
from backaudit.files.pickles.values import Malformed

MOST_LONG_BYTES = 1800


def none(state: State) -> None:
    """NONE."""
    state.stack.append(None)


def true(state: State) -> None:
    """NEWTRUE."""
    state.stack.append(True)


def false(state: State) -> None:
    """NEWFALSE."""
    state.stack.append(False)


def text_int(state: State) -> None:
    """INT: a decimal number, or 00 and 01 for the truth values."""
    line = state.line(MOST_DIGITS)
    truth = {b"00": False, b"01": True}
    state.stack.append(truth[line] if line in truth else _number(line))


def text_long(state: State) -> None:
    """LONG: a decimal number with an L behind it."""
    state.stack.append(_number(state.line(MOST_DIGITS).removesuffix(b"L")))


def _number(line: bytes) -> int:
    if len(line) > MOST_DIGITS:
        raise Malformed("has a number of too many digits: do not use it")
    return int(line, 0)


def text_float(state: State) -> None:
    """FLOAT."""
    state.stack.append(float(state.line(MOST_DIGITS)))


def binint(state: State) -> None:
    """BININT: four bytes with a sign."""
    state.stack.append(int.from_bytes(state.take(4), "little", signed=True))


def binint1(state: State) -> None:
    """BININT1: one byte."""
    state.stack.append(state.data[state.at])
    state.at += 1


def binint2(state: State) -> None:
    """BININT2: two bytes."""
    state.stack.append(int.from_bytes(state.take(2), "little"))


def binfloat(state: State) -> None:
    """BINFLOAT: eight bytes, the highest first."""
    state.stack.append(struct.unpack(">d", state.take(8))[0])


def long1(state: State) -> None:
    """LONG1: up to 255 bytes."""
    count = state.take(1)[0]
    state.stack.append(int.from_bytes(state.take(count), "little", signed=True))


def long4(state: State) -> None:
    """LONG4: more bytes, as far as a number can have them that someone may print."""
    count = int.from_bytes(state.take(4), "little", signed=True)
    if count > MOST_LONG_BYTES:
        raise Malformed("has a number of too many digits: do not use it")
    state.stack.append(int.from_bytes(state.take(count), "little", signed=True))

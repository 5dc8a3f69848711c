"""Opcodes that push text and bytes."""

import codecs
import warnings

from backaudit.files.pickles.state import State
from backaudit.files.pickles.values import Malformed

LONGEST_TEXT = 2**62
SHORTEST_QUOTED = 2


def string(state: State) -> None:
    """STRING: quoted and escaped, of Python 2."""
    line = state.line(LONGEST_TEXT)
    if len(line) < SHORTEST_QUOTED or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise Malformed
    state.stack.append(_old_text(_unescaped(line[1:-1])))


def _unescaped(text: bytes) -> bytes:
    """Text without the escapes that Python 2 wrote, by the function that Python reads them with."""
    with warnings.catch_warnings():
        # Of escapes that are none, and stay as they are.
        warnings.simplefilter("ignore")
        return codecs.escape_decode(text)[0]


def _old_text(data: bytes) -> str:
    # Python 2 kept text and bytes in one type: what is no text becomes one character a byte.
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def binstring(state: State) -> None:
    """BINSTRING, of Python 2."""
    count = int.from_bytes(state.take(4), "little", signed=True)
    state.stack.append(_old_text(bytes(state.take(count))))


def short_binstring(state: State) -> None:
    """SHORT_BINSTRING, of Python 2."""
    state.stack.append(_old_text(bytes(_sized(state, 1))))


def text_unicode(state: State) -> None:
    """UNICODE: escaped, on a line."""
    state.stack.append(state.line(LONGEST_TEXT).decode("raw-unicode-escape"))


def short_binunicode(state: State) -> None:
    """SHORT_BINUNICODE."""
    state.stack.append(str(_sized(state, 1), "utf-8", "surrogatepass"))


def binunicode(state: State) -> None:
    """BINUNICODE."""
    state.stack.append(str(_sized(state, 4), "utf-8", "surrogatepass"))


def binunicode8(state: State) -> None:
    """BINUNICODE8."""
    state.stack.append(str(_sized(state, 8), "utf-8", "surrogatepass"))


def short_binbytes(state: State) -> None:
    """SHORT_BINBYTES."""
    state.stack.append(bytes(_sized(state, 1)))


def binbytes(state: State) -> None:
    """BINBYTES."""
    state.stack.append(bytes(_sized(state, 4)))


def binbytes8(state: State) -> None:
    """BINBYTES8."""
    state.stack.append(bytes(_sized(state, 8)))


def bytearray8(state: State) -> None:
    """BYTEARRAY8."""
    state.stack.append(bytearray(_sized(state, 8)))


def readonly_buffer(state: State) -> None:
    """READONLY_BUFFER."""
    buffer = state.stack[-1]
    if not isinstance(buffer, bytes | bytearray):
        raise Malformed
    state.charge((buffer,))
    state.stack[-1] = bytes(buffer)


def _sized(state: State, width: int) -> memoryview:
    return state.take(int.from_bytes(state.take(width), "little"))

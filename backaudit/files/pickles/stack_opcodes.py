"""Opcodes that move values between the stack and the memo, and those about the pickle itself."""

from backaudit.files.pickles.state import MOST_DIGITS, STRADDLING, State
from backaudit.files.pickles.values import Malformed

NEWEST_PROTOCOL = 5
DEEPEST_MARKS = 10_000


def proto(state: State) -> None:
    """PROTO."""
    if state.take(1)[0] > NEWEST_PROTOCOL:
        raise Malformed


def frame(state: State) -> None:
    """FRAME: a promise of how many bytes follow, at whose end an opcode must end too."""
    if state.at <= state.frame_end:
        raise Malformed(STRADDLING)
    length = int.from_bytes(state.take(8), "little")
    if length > state.size - state.at:
        raise Malformed
    state.frame_end = state.at + length


def pop(state: State) -> None:
    """POP: a value, or a MARK with nothing above it."""
    if state.stack:
        state.stack.pop()
    else:
        state.pop_mark()


def pop_mark(state: State) -> None:
    """POP_MARK."""
    state.pop_mark()


def dup(state: State) -> None:
    """DUP."""
    state.stack.append(state.stack[-1])


def mark(state: State) -> None:
    """MARK."""
    if len(state.marked) > DEEPEST_MARKS:
        raise Malformed("nests its values too deeply: do not use it")
    state.marked.append(state.stack)
    state.stack = []


def text_get(state: State) -> None:
    """GET."""
    state.stack.append(state.memo[int(state.line(MOST_DIGITS))])


def binget(state: State) -> None:
    """BINGET."""
    state.stack.append(state.memo[state.data[state.at]])
    state.at += 1


def long_binget(state: State) -> None:
    """LONG_BINGET."""
    state.stack.append(state.memo[int.from_bytes(state.take(4), "little")])


def text_put(state: State) -> None:
    """PUT."""
    key = int(state.line(MOST_DIGITS))
    if key < 0:
        raise Malformed
    state.remember(key)


def binput(state: State) -> None:
    """BINPUT."""
    key = state.data[state.at]
    state.at += 1
    state.remember(key)


def long_binput(state: State) -> None:
    """LONG_BINPUT."""
    state.remember(int.from_bytes(state.take(4), "little"))


def memoize(state: State) -> None:
    """MEMOIZE."""
    state.remember(len(state.memo))

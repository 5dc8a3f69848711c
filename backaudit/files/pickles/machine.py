"""Every opcode of every pickle protocol, and nothing that a pickle could make Python do."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from backaudit.core.errors import CheckpointError
from backaudit.files.contents import GlobalUse
from backaudit.files.pickles import container_opcodes as containers
from backaudit.files.pickles import number_opcodes as numbers
from backaudit.files.pickles import object_opcodes as objects
from backaudit.files.pickles import stack_opcodes as stack
from backaudit.files.pickles import text_opcodes as texts
from backaudit.files.pickles.shape import MOST_NODES, check_shape
from backaudit.files.pickles.state import (
    BOOKKEEPING,
    STRADDLING,
    Finish,
    Persistent,
    Rebuild,
    State,
)
from backaudit.files.pickles.values import Malformed

MOST_OPCODES = 3_000_000
STOP = ord(".")
# What Python raises for values that are not what an opcode or a call needs.
MALFORMED = (
    LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError,
    struct.error,
)  # fmt: skip


def _unknown(state: State) -> None:
    raise Malformed


OPCODES: dict[bytes, Callable[[State], None]] = {
    b"\x80": stack.proto,
    b"\x95": stack.frame,
    b"N": numbers.none,
    b"\x88": numbers.true,
    b"\x89": numbers.false,
    b"I": numbers.text_int,
    b"L": numbers.text_long,
    b"F": numbers.text_float,
    b"J": numbers.binint,
    b"K": numbers.binint1,
    b"M": numbers.binint2,
    b"G": numbers.binfloat,
    b"\x8a": numbers.long1,
    b"\x8b": numbers.long4,
    b"S": texts.string,
    b"T": texts.binstring,
    b"U": texts.short_binstring,
    b"V": texts.text_unicode,
    b"\x8c": texts.short_binunicode,
    b"X": texts.binunicode,
    b"\x8d": texts.binunicode8,
    b"C": texts.short_binbytes,
    b"B": texts.binbytes,
    b"\x8e": texts.binbytes8,
    b"\x96": texts.bytearray8,
    b"\x98": texts.readonly_buffer,
    b"0": stack.pop,
    b"1": stack.pop_mark,
    b"2": stack.dup,
    b"(": stack.mark,
    b"g": stack.text_get,
    b"h": stack.binget,
    b"j": stack.long_binget,
    b"p": stack.text_put,
    b"q": stack.binput,
    b"r": stack.long_binput,
    b"\x94": stack.memoize,
    b")": containers.empty_tuple,
    b"]": containers.empty_list,
    b"}": containers.empty_dict,
    b"\x8f": containers.empty_set,
    b"\x85": containers.tuple1,
    b"\x86": containers.tuple2,
    b"\x87": containers.tuple3,
    b"t": containers.marked_tuple,
    b"l": containers.marked_list,
    b"d": containers.marked_dict,
    b"\x91": containers.frozen_set,
    b"a": containers.append,
    b"e": containers.appends,
    b"s": containers.setitem,
    b"u": containers.setitems,
    b"\x90": containers.additems,
    b"c": objects.imported,
    b"\x93": objects.stack_imported,
    b"\x82": objects.extension1,
    b"\x83": objects.extension2,
    b"\x84": objects.extension4,
    b"P": objects.persistent_text,
    b"Q": objects.persistent,
    b"R": objects.reduce,
    b"\x81": objects.newobj,
    b"\x92": objects.newobj_ex,
    b"i": objects.inst,
    b"o": objects.obj,
    b"b": objects.build,
}
# NEXT_BUFFER (0x97) is not among them: a file has no buffers outside its pickle.
HANDLERS = [OPCODES.get(bytes([code]), _unknown) for code in range(256)]


@dataclass(frozen=True)
class Pickled:
    """One pickle, read.

    Values are plain ones (None, bool, int, float, complex, str, bytes, bytearray, list, tuple,
    dict, set, frozenset), ``Reference``, ``Inert`` and what the callbacks returned. Lists, tuples,
    dicts and sets form a tree that may be walked by recursion: never deeper than
    ``shape.DEEPEST`` between two ``Inert``, never a cycle, sharing expanded to a bounded number of
    nodes. Only ``Inert`` may lead back to one another, in chains of any length: whoever follows
    them must visit each once and bound the depth.

    Args:
        value: what was pickled; None if there is a problem.
        end: offset in the data of the byte after the pickle.
        uses: each name it would import, in order, also of what precedes a problem.
        problem: why it cannot be used, to follow a path; "" if it can.
    """

    value: object
    end: int
    uses: tuple[GlobalUse, ...]
    problem: str


def run(
    data: memoryview,
    *,
    start: int = 0,
    member: str = "",
    persistent: Persistent | None = None,
    rebuild: Rebuild | None = None,
    finish: Finish | None = None,
) -> Pickled:
    """Read one pickle; never raises for anything in the data.

    For torch's files: ``persistent=stored(storage)``, ``rebuild=rebuild``, ``finish=finish`` from
    ``torch_types``.

    Args:
        data: bytes that hold the pickle.
        start: where in them it starts.
        member: of an archive, for ``GlobalUse``.
        persistent: makes a value of what PERSID and BINPERSID name; without it they are a problem.
        rebuild: the value of a call; ``NotImplemented`` for an ``Inert``.
        finish: the value of an object after its state was set; the ``Inert`` itself to leave it.
    """
    state = State(data, start, persistent, rebuild, finish)
    value, problem = None, ""
    try:
        value = _execute(state)
        check_shape(value, min(MOST_NODES, BOOKKEEPING + 4 * (state.at - start)))
    except (Malformed, CheckpointError) as error:
        value, problem = None, str(error)
    except MALFORMED:
        value, problem = None, str(Malformed())
    return Pickled(value, state.at, state.uses.frozen(member), problem)


def _execute(state: State) -> object:
    data, handlers = state.data, HANDLERS
    for _ in range(MOST_OPCODES):
        start = state.at
        code = data[start]
        state.at = start + 1
        if code == STOP:
            return state.stack.pop()
        handlers[code](state)
        if start < state.frame_end < state.at:
            # Python's own unpickler then skips back, and runs what looks like a value here.
            raise Malformed(STRADDLING)
    raise Malformed("holds more plain values than can be read here: save the weights alone")

"""Pickles whose structure misleads: several of them, hidden ones, tricks with memo and frames."""

import struct
from collections.abc import Callable, Iterator

from tests.hostile.assembler import Call, Global, Raw, op, pickled, program, push
from tests.hostile.case import REFUSED, UNSAFE, Canary, Case, file_case
from tests.hostile.honest import (
    MAGIC,
    ORDERED,
    entries,
    honest_zip,
    legacy,
    legacy_state_dict,
    state_dict,
    torch_zip,
)
from tests.hostile.zips import zipped

KIND = "pickle structure"
READ_AT_ONCE = 2**17
FILLER = READ_AT_ONCE - 17
LONG_STRING = 263
HONEST = ("torch._utils", "_rebuild_tensor_v2")


def _stored(text: str, put: bytes) -> bytes:
    return op("BINUNICODE", text) + put + op("POP")


def _called(canary: Canary) -> bytes:
    return push((canary.command,)) + op("REDUCE")


def memo_confusion(canary: Canary) -> bytes:
    """``PUT`` fills the slots that a reader which only counts ``MEMOIZE`` takes for others."""
    hidden = _stored("os", op("BINPUT", 2)) + _stored("system", op("BINPUT", 3))
    shown = _stored(HONEST[0], op("BINPUT", 0)) + _stored(HONEST[1], op("BINPUT", 1))
    names = op("BINGET", 2) + op("BINGET", 3) + op("STACK_GLOBAL")
    return program(hidden, shown, names, _called(canary), protocol=4)


def memo_overwritten(canary: Canary) -> bytes:
    """The same slots are filled twice; the second time counts."""
    shown = _stored(HONEST[0], op("BINPUT", 0)) + _stored(HONEST[1], op("BINPUT", 1))
    hidden = _stored("os", op("BINPUT", 0)) + _stored("system", op("BINPUT", 1))
    names = op("BINGET", 0) + op("BINGET", 1) + op("STACK_GLOBAL")
    return program(shown, hidden, names, _called(canary), protocol=4)


def computed_name(canary: Canary) -> bytes:
    """The module's name is computed while the file is read."""
    joined = Call(Call(Global("builtins", "getattr"), ("", "join")), (["o", "s"],))
    names = push(joined) + push("system") + op("STACK_GLOBAL")
    return program(names, _called(canary), protocol=4)


def missing_memo(canary: Canary) -> bytes:
    """What reads a slot that was never filled stops a careless scanner after the payload."""
    return program(push(canary.call), op("POP"), op("BINGET", 9), protocol=4)


def confused_types(canary: Canary) -> bytes:
    """A number where a module's name must be stops a careless scanner after the payload."""
    names = push(42) + push("os") + op("STACK_GLOBAL")
    return program(push(canary.call), op("POP"), names, protocol=4)


def broken_after(canary: Canary) -> bytes:
    """No such opcode follows the payload."""
    return op("PROTO", 2) + push(canary.call) + b"X\x00\xff"


def never_ends(canary: Canary) -> bytes:
    """The end marker is missing."""
    return op("PROTO", 4) + push(canary.call)


def hidden_by_frame(canary: Canary) -> bytes:
    """A string claims more bytes than its frame has.

    Behind as many bytes as Python reads at once, its unpickler then skips back and runs the string.
    """
    filler = op("NONE") + op("UNICODE", "a" * FILLER) + op("POP") + op("MARK")
    hidden = (push(canary.call) + op("MARK")).ljust(LONG_STRING + 5, op("NONE"))
    string = b"B" + struct.pack("<I", LONG_STRING) + bytes(2) + hidden
    rest = op("FRAME", 2) + string + op("POP_MARK") + op("STOP")
    return op("PROTO", 5) + filler + rest


def frame_in_frame(canary: Canary) -> bytes:
    """A frame opens inside another."""
    inner = op("FRAME", 2) + op("NONE") + op("POP")
    body = op("NONE") + op("POP") + inner + push(canary.call) + op("STOP")
    return op("PROTO", 4) + op("FRAME", len(body)) + body


def second_pickle(canary: Canary) -> bytes:
    """A second pickle after the end marker of the first."""
    return pickled(state_dict()) + pickled(canary.call)


def nested(canary: Canary) -> bytes:
    """A pickle inside a pickle, loaded by the outer one."""
    return pickled(Call(Global("_pickle", "loads"), (pickled(canary.call),)))


def magic_is_computed(canary: Canary) -> bytes:
    """The legacy format's magic number is the result of a call."""
    return legacy(canary.call, magic=Call(Global("builtins", "eval"), (hex(MAGIC),)))


def in_magic(canary: Canary) -> bytes:
    """The call lies in the first pickle of a legacy file, before its magic number."""
    number = push(canary.call) + op("POP") + op("LONG1", MAGIC)
    return legacy({"epoch": 3}, magic=Raw(number))


def in_keys(canary: Canary) -> bytes:
    """The call lies in the list of storages that ends a legacy file."""
    return legacy(legacy_state_dict(), keys=pickled([canary.call]))


def after_end_in_zip(canary: Canary) -> bytes:
    """``data.pkl`` goes on after its end marker."""
    return zipped(*entries(pickled(state_dict()) + pickled(canary.call)))


def nested_bytes(canary: Canary) -> bytes:
    """``torch.load`` of a file beside this one."""
    return pickled(Call(Global("torch.serialization", "load"), ("other.bin",)))


def overwritten_attribute(canary: Canary) -> bytes:
    """``BUILD`` sets attributes of a library's function, ``STACK_GLOBAL`` reads them back."""
    maker = push(Global("numpy", "prod")) + push((None, {"a": "os", "b": "system"})) + op("BUILD")
    parts = push(Global("numpy", "prod.a")) + push(Global("numpy", "prod.b"))
    return program(maker, op("POP"), parts, op("STACK_GLOBAL"), _called(canary), protocol=4)


def dotted_name(canary: Canary) -> bytes:
    """A harmless module's own imports are reached with a dotted name."""
    target = Global("pathlib", "os.system", "STACK_GLOBAL")
    return pickled(Call(target, (canary.command,)), 4)


def library_builtins(canary: Canary) -> bytes:
    """A library module's ``__builtins__``."""
    found = Global("numpy", "__builtins__.get", "STACK_GLOBAL")
    return pickled(Call(Call(found, ("eval",)), (canary.source,)), 4)


LIVE: dict[str, tuple[Callable[[Canary], bytes], str]] = {
    "memo-confusion": (memo_confusion, "picklescan issues 14 and 22"),
    "memo-overwritten": (memo_overwritten, "picklescan issue 14"),
    "computed-name": (computed_name, "modelscan issue 331"),
    "missing-memo": (missing_memo, "picklescan d3273f4; modelscan pull request 348"),
    "confused-types": (confused_types, "picklescan d3273f4; arXiv 2508.19774"),
    "broken-after-payload": (broken_after, "nullifAI (ReversingLabs)"),
    "no-end-marker": (never_ends, "nullifAI (ReversingLabs)"),
    "nested-loads": (nested, "modelscan issue 267"),
    "magic-is-computed": (magic_is_computed, "GHSA-97f8-7cmv-76j2"),
    "dotted-name": (dotted_name, "GHSA-5j3x-jp52-966f"),
    "call-in-magic": (in_magic, ""),
}
UNLIKELY: dict[str, tuple[Callable[[Canary], bytes], str]] = {
    "second-pickle": (second_pickle, ""),
    "call-in-storage-keys": (in_keys, ""),
    "after-end-in-zip": (after_end_in_zip, ""),
    "load-of-another-file": (nested_bytes, "picklescan 93764d6"),
    "overwritten-attribute": (overwritten_attribute, "modelscan issue 85"),
    "library-builtins": (library_builtins, "modelscan issue 330"),
}

DEPTH = 100_000
BOMB = 60


def _deep(opening: str) -> bytes:
    return program(op(opening) * DEPTH, op("APPEND") * (DEPTH - 1))


def _doubled() -> bytes:
    """Lists of lists whose last has two to the power of sixty elements, were it written out."""
    layers = b"".join(
        op("EMPTY_LIST")
        + op("BINPUT", layer + 1)
        + op("MARK")
        + op("BINGET", layer) * 2
        + op("APPENDS")
        for layer in range(BOMB)
    )
    return program(op("EMPTY_LIST"), op("BINPUT", 0), layers)


def _tuple_of_hashes() -> bytes:
    """A key whose hash takes two to the power of sixty steps."""
    layers = b"".join(
        op("BINGET", layer) * 2 + op("TUPLE2") + op("BINPUT", layer + 1) for layer in range(BOMB)
    )
    return program(op("EMPTY_TUPLE"), op("BINPUT", 0), layers, op("EMPTY_DICT"), _item())


def _item() -> bytes:
    return op("BINGET", BOMB) + op("NONE") + op("SETITEM")


EXHAUSTING: dict[str, bytes] = {
    "deep-lists": _deep("EMPTY_LIST"),
    "deep-tuples": program(op("EMPTY_TUPLE"), op("TUPLE1") * DEPTH),
    "many-marks": program(op("MARK") * DEPTH, op("NONE")),
    "doubling-lists": _doubled(),
    "doubling-hash": _tuple_of_hashes(),
    "huge-memo-index": program(op("NONE"), op("LONG_BINPUT", 2**32 - 1), op("PUT", 10**40)),
    "huge-string": op("PROTO", 4) + b"\x8d" + struct.pack("<Q", 2**62) + b"x",
    "huge-bytes": op("PROTO", 4) + b"\x8e" + struct.pack("<Q", 2**63 - 1) + b"x",
    "huge-bytearray": op("PROTO", 5) + b"\x96" + struct.pack("<Q", 2**62) + b"x",
    "huge-frame": op("PROTO", 4) + op("FRAME", 2**63) + op("NONE") + op("STOP"),
    "negative-long": op("PROTO", 2) + b"\x8b" + struct.pack("<i", -1) + op("STOP"),
    "many-digits": program(b"I" + b"9" * 1_000_000 + b"\n"),
    "long-digits": program(b"L" + b"9" * 1_000_000 + b"L\n"),
    "cyclic-list": program(
        *(op("EMPTY_LIST"), op("BINPUT", 0), op("BINGET", 0), op("APPEND")),
    ),
    "stack-underflow": program(op("POP"), op("POP"), op("TUPLE3")),
    "unhashable-key": program(op("EMPTY_DICT"), op("EMPTY_LIST"), op("NONE"), op("SETITEM")),
    "unknown-protocol": op("PROTO", 255) + op("NONE") + op("STOP"),
    "next-buffer": program(op("NEXT_BUFFER"), op("READONLY_BUFFER"), protocol=5),
    "ordered-dict-of-itself": program(
        *(push(Call(ORDERED)), op("BINPUT", 0), push("a"), op("BINGET", 0), op("SETITEM")),
    ),
}


def cases() -> Iterator[Case]:
    """All of them as bare pickles; the exhausting ones inside an archive as well."""
    for name, (content, advisory) in LIVE.items():
        yield file_case(name, KIND, content, UNSAFE, advisory, ".pkl", live=True)
    for name, (content, advisory) in UNLIKELY.items():
        yield file_case(name, KIND, content, UNSAFE, advisory, ".pkl")
    for name, content in (("hidden-by-frame", hidden_by_frame), ("frame-in-frame", frame_in_frame)):
        yield file_case(name, KIND, content, REFUSED, "CPython issue 154848", ".pkl", live=True)
    yield file_case(
        "appended-to-zip", KIND, lambda canary: honest_zip() + pickled(canary.call), UNSAFE
    )
    yield file_case(
        "nested-in-dict",
        KIND,
        lambda canary: torch_zip({"state_dict": state_dict(), "args": [{"a": (canary.call,)}]}),
        UNSAFE,
    )
    for name, data in EXHAUSTING.items():
        yield file_case(name, "exhausting pickles", data, REFUSED, "", ".pkl")
        yield file_case(f"{name}-zip", "exhausting pickles", zipped(*entries(data)), REFUSED)

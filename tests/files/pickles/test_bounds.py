import gc
import pickle
import time
from collections.abc import Iterator

import pytest

from backaudit.files.contents import Level
from backaudit.files.pickles import machine, uses
from backaudit.files.pickles.shape import DEEPEST
from backaudit.files.pickles.values import Inert
from backaudit.files.readers.pickled import stacked
from tests.files.pickles.reading import executed
from tests.hostile.assembler import Call, Global, op, pickled, program, push

MERSENNE = 2**61 - 1


def _nested(depth: int) -> bytes:
    return program(b"]" * depth + b"a" * (depth - 1))


def _laughing(opcode: bytes) -> bytes:
    """Each value holds the one before it twice."""
    steps = b"".join(b"2" + opcode for _ in range(40))
    return program(b"K\x01" + steps)


def _looped() -> bytes:
    return program(b"]\x94h\x00a")


def _colliding(numbers: int) -> bytes:
    pairs = b"".join(push(index * MERSENNE) + b"N" for index in range(1, numbers))
    return program(b"}(" + pairs + b"u")


def _deep_key() -> bytes:
    return program(b"})" + b"\x85" * 100_000 + b"Ns")


def _many_calls() -> bytes:
    """A long list, remembered and copied by every call."""
    listed = push(Global("builtins", "list")) + b"\x94" + push([None] * 2000) + b"\x85\x94"
    return program(listed, b"h\x00h\x01R0" * 5000)


HURTING = {
    "deep lists": _nested(DEEPEST + 2),
    "deeper lists": _nested(100_000),
    "doubling tuples": _laughing(b"\x86"),
    "list in itself": _looped(),
    "colliding keys": _colliding(5000),
    "deep key": _deep_key(),
    "many calls": _many_calls(),
    "many sets": program(b"(" + b"\x8f" * 100_000 + b"t"),
    "many marks": b"(" * 20_000,
    "long text number": b"L" + b"9" * 5000 + b"L\n.",
    "long number": op("LONG4", 1 << 80_000) + b".",
    "missing text": op("BINUNICODE", "x")[:1] + b"\xff\xff\xff\x7fx.",
    "far memo, missing": b"j\xff\xff\xff\xff.",
    "long name": program(b"c" + b"a" * 100_000 + b"\nb\n"),
}


@pytest.mark.parametrize("data", HURTING.values(), ids=HURTING.keys())
def test_what_is_made_to_hurt_is_refused_at_once(data: bytes) -> None:
    started = time.process_time()
    result = executed(data)
    assert result.problem
    assert result.value is None
    assert time.process_time() - started < 1


def test_as_deep_as_allowed_is_read() -> None:
    assert executed(_nested(DEEPEST)).problem == ""


def test_a_far_memo_needs_no_room() -> None:
    assert executed(b"N" + op("LONG_BINPUT", 2**32 - 1) + b".").problem == ""


def test_values_may_be_shared_as_often_as_honest_files_do() -> None:
    shared = [0.5] * 10
    assert executed(pickle.dumps([shared] * 1000, 2)).problem == ""


def test_stand_ins_may_lead_back_to_themselves() -> None:
    net = push(Call(Global("models", "Net"), way="NEWOBJ"))
    result = executed(program(net, b"\x94", push("self")[:-4] + b"self" + b"0"))
    assert result.problem == ""
    looped = executed(program(net, b"\x94}", push("parent"), b"h\x00s", op("BUILD")))
    assert isinstance(looped.value, Inert)
    assert looped.value.state == {"parent": looped.value}


def test_a_loop_through_a_stand_in_and_its_own_lists_is_walked_once() -> None:
    net = push(Call(Global("models", "Net"), way="NEWOBJ"))
    tangled = b"\x94h\x00a" + b"h\x00e".replace(b"e", b"a") * 50
    assert executed(program(net, tangled)).problem == ""


def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_OPCODES", 100)
    assert (
        "more plain values than can be read" in executed(pickle.dumps(list(range(200)), 2)).problem
    )


def test_too_many_names_are_refused_and_those_before_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uses, "MOST_USES", 10)
    result = executed(pickled([Global("os", "system")] * 11))
    assert "more names" in result.problem
    assert len(result.uses) == 10


def test_every_call_of_a_name_that_is_not_harmless_is_kept() -> None:
    net, rebuilder = Global("models", "net"), Global("builtins", "list")
    times = 3 * uses.CALLS_KEPT
    kept = executed(pickled([Call(net, ("x",))] * times)).uses
    assert all(use.level is Level.UNKNOWN and use.calls for use in kept)
    shared = push(net) + b"\x94" + b"h\x00)R" * times
    assert len(executed(program(shared)).uses[0].calls) == times
    shared = push(rebuilder) + b"\x94" + b"h\x00)R" * times
    assert len(executed(program(shared)).uses[0].calls) == uses.CALLS_KEPT


def test_pickles_that_follow_one_another_share_a_bound() -> None:
    one = b"(" + b"N" * 100_000 + b"t."
    found = list(stacked(memoryview(one * 60)))
    assert len(found) * len(one) < 2 * 2**20
    assert {pickled.value for pickled in found} == {None}


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """A collection walks whatever earlier tests left behind, which is not the reader's time."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
def test_four_times_as_many_empty_lists_take_four_times_as_long() -> None:
    def seconds(count: int) -> float:
        started = time.process_time()
        assert executed(b"(" + b"]" * count + b"t.").problem == ""
        return time.process_time() - started

    # Sixteen times if it were quadratic.
    assert seconds(1_000_000) < 8 * seconds(250_000)


def test_many_escapes_take_no_time() -> None:
    started = time.process_time()
    result = executed(b"S'" + b"\\x41" * 1_000_000 + b"'\n.")
    assert result.value == "A" * 1_000_000
    assert time.process_time() - started < 0.5

import pickle
import pickletools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backaudit.files.contents import Level
from backaudit.files.pickles.machine import OPCODES, run
from backaudit.files.pickles.values import Inert, Reference
from tests.files.pickles.reading import executed, only
from tests.hostile.assembler import Call, Global, Persistent, op, pickled, program, push

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.tuples(st.text())
PLAIN = st.recursive(
    ATOMS | st.binary().map(bytearray) | st.frozensets(KEYS) | st.sets(KEYS),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(KEYS, inner)
        | st.lists(inner).map(tuple)
        | inner.map(lambda shared: [shared, shared])
    ),
    max_leaves=8,
)


@given(PLAIN, st.integers(0, 5))
def test_honest_values_are_those_of_pickle(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    result = executed(data)
    assert result.problem == ""
    assert result.value == pickle.loads(data)  # noqa: S301
    assert result.end == len(data)


@given(st.binary(max_size=40))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    executed(data)


CODES = st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes])
PIECES = CODES | st.binary(max_size=3) | st.sampled_from([b"os\n", b"system\n", b"1\n", b"'x'\n"])


@given(st.lists(PIECES, max_size=30).map(b"".join))
def test_no_opcodes_make_it_raise(data: bytes) -> None:
    executed(b"(NK\x01)]}" + data)


def test_every_opcode_is_known_but_for_buffers_outside_the_pickle() -> None:
    standard = {opcode.code.encode("latin-1") for opcode in pickletools.opcodes}
    assert standard - set(OPCODES) == {b".", b"\x97"}


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"I00\n.", False),
        (b"I01\n.", True),
        (b"I-7\n.", -7),
        (b"L12345678901234567890L\n.", 12345678901234567890),
        (b"F1.5\n.", 1.5),
        (b"S'a\\n\\x41\\101\\q'\n.", "a\nAA\\q"),
        (b'S"it\'s"\n.', "it's"),
        (b"V\\u00e9\n.", "é"),
        (op("SHORT_BINSTRING", b"conv1") + b".", "conv1"),
        (op("BINSTRING", b"\xff\x00") + b".", "\xff\x00"),
        (op("BINSTRING", "é".encode()) + b".", "é"),
        (b"(I1\nI2\nt.", (1, 2)),
        (b"(I1\nI2\nl.", [1, 2]),
        (b"(S'a'\nI2\nd.", {"a": 2}),
        (b"(I1\n0I2\n1I3\n.", 3),
        (b"I1\np7\n0g7\n.", 1),
        (b"I1\n2\x86.", (1, 1)),
        (op("BYTEARRAY8", b"ab") + op("READONLY_BUFFER") + b".", b"ab"),
        (b"K\x01\x94K\x02\x94h\x00.", 1),
    ],
)
def test_opcodes_of_old_and_rare_pickles(data: bytes, value: object) -> None:
    result = executed(data)
    assert (result.problem, result.value) == ("", value)
    assert type(result.value) is type(value)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_cut_off_anywhere_is_damaged(protocol: int) -> None:
    whole = {"state_dict": [(1, 2.5, "conv1", b"\0" * 300, 10**30)], "epoch": {1, 2}}
    data = pickle.dumps(whole, protocol)
    for length in range(len(data)):
        result = executed(data[:length])
        assert result.problem == "is damaged or truncated: copy or download it again"
        assert result.value is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x06N.",
        b"\xffN.",
        b"NR.",
        b"h\x05.",
        b"N0000.",
        b"}(NNNu.",
        b"](Ne.".replace(b"]", b")"),
        b"\x97.",
        b"p-1\n.",
        b"S'a\n.",
        b"J\x00.",
        b"}]Ns.",
        b"T\xff\xff\xff\xff.",
        b"\x95\xff\x00\x00\x00\x00\x00\x00\x00N.",
    ],
)
def test_what_no_pickle_has_is_damaged(data: bytes) -> None:
    assert executed(data).problem


def test_pickles_may_start_anywhere_and_end_before_the_end() -> None:
    first, second = pickle.dumps("first", 2), pickle.dumps([2], 2)
    data = first + second + b"rest"
    assert executed(data).end == len(first)
    result = executed(data, start=len(first))
    assert (result.value, result.end) == ([2], len(first + second))


WAYS: list[tuple[bytes, str, str, int]] = [
    (push(Call(Global("os", "system"), ("x",))), "GLOBAL", "REDUCE", 0),
    (push(Call(Global("os", "system", "STACK_GLOBAL"), ("x",))), "STACK_GLOBAL", "REDUCE", 18),
    (push(Call(Global("os", "system"), ("x",), "INST")), "INST", "INST", 7),
    (push(Call(Global("os", "system"), ("x",), "OBJ")), "GLOBAL", "OBJ", 1),
    (push(Call(Global("os", "system"), ("x",), "NEWOBJ")), "GLOBAL", "NEWOBJ", 0),
]


@pytest.mark.parametrize(("code", "opcode", "call", "offset"), WAYS)
def test_every_way_to_call_a_name_is_recorded_where_it_is(
    code: bytes, opcode: str, call: str, offset: int
) -> None:
    result = executed(program(code, b"0N"), member="data.pkl")
    use = only(result)
    assert (use.module, use.name, use.level) == ("os", "system", Level.DANGEROUS)
    assert (use.opcode, use.offset, use.member) == (opcode, 2 + offset, "data.pkl")
    assert [name for name, _ in use.calls] == [call]
    data = program(code, b"0N")
    assert data[use.calls[0][1]] == op("INST" if call == "INST" else call, ("", ""))[0]


def test_names_before_damage_are_kept() -> None:
    result = executed(pickled(Call(Global("os", "system"), ("x",)))[:-1] + b"\xff")
    assert result.problem
    assert only(result).calls[0][0] == "REDUCE"


@pytest.mark.parametrize("code", [op("EXT1", 1), op("EXT2", 300), op("EXT4", 70_000)])
def test_extension_codes_are_dangerous(code: bytes) -> None:
    use = only(executed(program(code, push(("x",)), op("REDUCE"))))
    assert use.level is Level.DANGEROUS
    assert use.opcode.startswith("EXT")
    assert use.calls


def _computed_names() -> list[bytes]:
    path = Call(Global("pathlib", "PosixPath"), ("os",))
    text = Call(Global("builtins", "str"), ("os",))
    unknown = Call(Global("models", "Name"))
    return [push(made) + push("system") for made in (path, text, unknown, None, b"os", 3)]


@pytest.mark.parametrize("code", _computed_names())
def test_names_that_a_pickle_computes_are_dangerous(code: bytes) -> None:
    uses = executed(program(code, op("STACK_GLOBAL"), push(("x",)), op("REDUCE"))).uses
    assert uses[-1].opcode == "STACK_GLOBAL"
    assert uses[-1].level is Level.DANGEROUS
    assert uses[-1].calls


def test_calling_the_result_of_a_call_is_dangerous() -> None:
    made = Call(Call(Global("functools", "partial"), (Global("models", "f"),)), ("x",))
    uses = executed(pickled(made)).uses
    assert [use.level for use in uses] == [Level.HARMLESS, Level.UNKNOWN, Level.DANGEROUS]


def test_calling_a_plain_value_is_dangerous() -> None:
    assert only(executed(program(push("x"), push(()), op("REDUCE")))).level is Level.DANGEROUS


def test_a_name_given_to_a_call_counts_as_called() -> None:
    rebuilder = Global("torch._tensor", "_rebuild_from_type_v2")
    given = (Global("models", "f"), Global("torch", "Tensor"), ("x",), {})
    uses = executed(pickled(Call(rebuilder, given))).uses
    called = next(use for use in uses if use.module == "models")
    assert called.calls[0][0] == "REDUCE"
    assert called.why == "not known, called with arguments"


@pytest.mark.parametrize(
    "change",
    [
        push({"forward": 1}) + op("BUILD"),
        push("key") + push(1) + op("SETITEM"),
        push(1) + op("APPEND"),
        op("MARK") + push(1) + op("ADDITEMS"),
    ],
)
def test_changing_what_is_imported_is_dangerous(change: bytes) -> None:
    use = only(executed(program(push(Global("torch.nn.modules.conv", "Conv2d")), change)))
    assert use.level is Level.DANGEROUS
    assert use.why == "is changed by the file for the whole program"


@pytest.mark.parametrize(
    "maker", [Global("argparse", "Namespace"), Global("collections", "OrderedDict")]
)
def test_a_state_set_twice_is_refused_as_the_first_may_change_how_the_second_is_set(
    maker: Global,
) -> None:
    build = push({"__setstate__": Global("models", "f")}) + op("BUILD")
    result = executed(program(push(Call(maker)), build, push("x"), op("BUILD")))
    assert result.problem.startswith("sets the state of an object twice")


def test_unknown_objects_keep_what_they_were_given() -> None:
    code = [
        push(Call(Global("models", "Net"), (1,), "NEWOBJ_EX", {"depth": 2})),
        push({"a": 3}) + op("BUILD"),
        push("k") + push(4) + op("SETITEM"),
        push(5) + op("APPEND"),
    ]
    made: Any = executed(program(*code)).value
    assert isinstance(made, Inert)
    assert (made.of, made.args, made.keywords) == (Reference("models", "Net"), (1,), {"depth": 2})
    assert (made.state, made.items, made.elements) == ({"a": 3}, {"k": 4}, [5])


def test_persistent_names_are_answered_or_refused() -> None:
    data = pickled(Persistent(("storage", 1)))
    assert executed(data, persistent=lambda name: ["data", name]).value == ["data", ("storage", 1)]
    assert executed(data).problem.startswith("refers to data outside it")
    assert executed(b"Pweights\n.", persistent=lambda name: name).value == "weights"


def test_without_callbacks_every_call_makes_a_stand_in() -> None:
    data = pickled(Call(Global("collections", "OrderedDict")))
    assert isinstance(run(memoryview(data)).value, Inert)


def test_what_is_put_into_a_state_later_does_not_reach_the_object() -> None:
    """As Python has it: an object copies its state into its own dict."""
    net = push(Call(Global("models", "Net"), way="NEWOBJ"))
    state = push({"a": 1}) + b"\x94"
    later = b"h\x00" + push("a2") + push(2) + op("SETITEM") + op("POP")
    result = executed(program(net, state, op("BUILD"), later))
    assert isinstance(result.value, Inert)
    assert result.value.state == {"a": 1}


@pytest.mark.parametrize(
    "first", [push("a"), push(Call(Global("pathlib", "PurePosixPath"), ("a",)))]
)
def test_a_key_given_twice_is_refused_as_others_may_see_two(first: bytes) -> None:
    table = op("EMPTY_DICT") + first + push(1) + op("SETITEM") + push("a") + push(2) + op("SETITEM")
    assert "the same key twice" in executed(program(table)).problem


def test_methods_of_a_dict_cannot_be_replaced() -> None:
    table = push(Call(Global("collections", "OrderedDict")))
    result = executed(program(table, push({"keys": 1}), op("BUILD")))
    assert "replaces the methods of a dict" in result.problem
    assert executed(program(table, push({"_metadata": 1}), op("BUILD"))).problem == ""

import argparse
import datetime
import pathlib
import pickle
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.files.contents import Level
from backaudit.files.pickles.torch_types import MAKERS, stored
from backaudit.files.pickles.values import Inert, Reference
from backaudit.files.records import Storage, TensorRecord, out_of_bounds
from backaudit.loading.weights.dense import tensor_of
from tests.files.pickles.reading import executed, saved, value_of
from tests.hostile.assembler import Call, Global, Persistent, op, pickled, program, push

DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.bool,
    torch.complex64,
    torch.float8_e4m3fn,
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_of_every_type_are_what_torch_saved(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]).to(dtype)
    record = saved(tensor)
    assert record.dtype == str(dtype).removeprefix("torch.")
    made = tensor_of(record)
    assert made.dtype == dtype
    assert torch.equal(made.view(torch.uint8), tensor.view(torch.uint8))


def test_views_keep_their_strides_and_share_their_storage() -> None:
    base = torch.arange(24.0).reshape(4, 6)
    views = {"whole": base, "turned": base.t(), "part": base[1:3, ::2], "scalar": base[2, 3]}
    records = saved(views)
    assert len({id(record.storage) for record in records.values()}) == 1
    for name, view in views.items():
        assert out_of_bounds(records[name]) is None
        made = tensor_of(records[name])
        assert made.stride() == view.stride()
        assert torch.equal(made, view)


def test_a_tensor_that_two_names_share_is_one_record() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    records = saved({"encoder": weight, "decoder": weight})
    assert records["encoder"] is records["decoder"]


@pytest.mark.parametrize(
    ("build", "trouble"),
    [
        (lambda: torch.eye(3).to_sparse(), "sparse"),
        (lambda: torch.eye(3).to_sparse_csr(), "sparse"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantised"),
        (lambda: torch.ones(2, device="meta"), "without numbers (a meta tensor)"),
    ],
    ids=["coo", "csr", "quantised", "meta"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_that_are_not_dense_say_what_they_are(
    build: Callable[[], Tensor], trouble: str
) -> None:
    assert saved({"weight": build()})["weight"].trouble == trouble


def test_a_tensor_with_attributes_is_a_tensor() -> None:
    tensor = torch.ones(2)
    tensor.note = "mine"  # type: ignore[attr-defined]
    assert torch.equal(tensor_of(saved(tensor)), tensor)


HONEST = [
    ("OrderedDict", OrderedDict(a=1, b=[2]), {"a": 1, "b": [2]}),
    ("defaultdict", defaultdict(list, a=[1]), {"a": [1]}),
    ("Counter", Counter("aab"), {"a": 2, "b": 1}),
    ("deque", deque([1, 2], maxlen=3), [1, 2]),
    ("set", {1, "a", (2, 3)}, {1, "a", (2, 3)}),
    ("frozenset", frozenset({1, 2}), frozenset({1, 2})),
    ("bytes", b"\x00\xff", b"\x00\xff"),
    ("no bytes", b"", b""),
    ("bytearray", bytearray(b"\xff"), bytearray(b"\xff")),
    ("complex", 1 + 2j, 1 + 2j),
    ("Namespace", argparse.Namespace(lr=0.1, name="a"), {"lr": 0.1, "name": "a"}),
    ("SimpleNamespace", types.SimpleNamespace(lr=0.1), {"lr": 0.1}),
    ("path", pathlib.PurePosixPath("a/b.txt"), "a/b.txt"),
    ("Windows path", pathlib.PureWindowsPath("c:/a"), "c:\\a"),
    ("datetime", datetime.datetime(2024, 5, 6, 7, 8, 9), "2024-05-06 07:08:09"),
    ("date", datetime.date(2024, 5, 6), "2024-05-06"),
    ("timedelta", datetime.timedelta(days=1, seconds=5), "1 day, 0:00:05"),
    ("Size", torch.Size([1, 2]), (1, 2)),
    ("device", torch.device("cuda:1"), "cuda:1"),
    ("float32", np.float32(1.5), 1.5),
    ("float16", np.float16(0.5), 0.5),
    ("int64", np.int64(-7), -7),
    ("bool_", np.bool_(True), True),
    ("complex128", np.complex128(1 + 2j), 1 + 2j),
    ("str_", np.str_("name"), "name"),
]


@pytest.mark.parametrize(
    ("value", "plain"), [row[1:] for row in HONEST], ids=[r[0] for r in HONEST]
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_values_of_known_classes_become_plain(value: object, plain: object, protocol: int) -> None:
    found = value_of([value, value], protocol)
    assert found == [plain, plain]
    assert isinstance(found[0], type(plain))


def test_types_of_numbers_stay_names() -> None:
    assert str(value_of(torch.float32)) == "torch.float32"


NUMBERS = st.sampled_from(
    ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
)


@given(NUMBERS, st.lists(st.integers(0, 4), max_size=3), st.booleans(), st.sampled_from([2, 4, 5]))
def test_arrays_of_numpy_become_the_same_tensors(
    code: str, shape: list[int], fortran: bool, protocol: int
) -> None:
    count = int(np.prod(shape))
    array: NDArray[Any] = np.arange(count).astype(code).reshape(shape)
    array = np.asfortranarray(array) if fortran else array
    record = value_of({"array": array}, protocol)["array"]
    assert isinstance(record, TensorRecord)
    assert out_of_bounds(record) is None
    assert np.array_equal(tensor_of(record).numpy(), array)


@pytest.mark.parametrize("number", [1.5, 300.0])
def test_arrays_of_python_2_lie_in_text(number: float) -> None:
    array = np.array([number, -2.0], dtype="<f4")
    written = pickle.dumps(array, 2)
    start = written.index(b"h\x03X")
    end = written.index(b"R", start)
    old = written[:start] + op("SHORT_BINSTRING", array.tobytes()) + written[end + 1 :]
    record: Any = executed(old).value
    assert np.array_equal(tensor_of(record).numpy(), array)


@pytest.mark.parametrize(
    "array",
    [np.array([1, 2], dtype=">i4"), np.array(["a", "b"]), np.array([None, {}], dtype=object)],
    ids=["big-endian", "text", "objects"],
)
def test_arrays_of_anything_else_stay_stand_ins(array: NDArray[Any]) -> None:
    assert isinstance(value_of(array), Inert)


def test_an_array_with_other_bytes_than_it_claims_is_damaged() -> None:
    data = pickle.dumps(np.zeros(3), 2).replace(b"K\x03\x85", b"K\x04\x85")
    assert executed(data).problem.startswith("is damaged")


def test_reconstructing_by_another_class_than_object_is_dangerous() -> None:
    given = (Global("models", "A"), Global("models", "B"), "x")
    uses = executed(pickled(Call(Global("copy_reg", "_reconstructor"), given))).uses
    assert uses[0].level is Level.DANGEROUS
    assert "models.B" in uses[0].why


def test_objects_of_other_peoples_classes_are_stand_ins_under_every_protocol() -> None:
    for protocol in range(6):
        data = pickle.dumps(Mine(), protocol)
        made: Any = executed(data).value
        assert made.of == Reference(__name__, "Mine")
        assert made.state == {"rate": 0.5}


class Mine:
    def __init__(self) -> None:
        self.rate = 0.5


def _storage(kind: object, *rest: object) -> bytes:
    return pickled(Persistent(("storage", kind, *rest)))


@pytest.mark.parametrize(
    "data",
    [
        _storage(Global("models", "FloatStorage"), "0", "cpu", 1),
        _storage(Global("torch", "OddStorage"), "0", "cpu", 1),
        _storage("FloatStorage", "0", "cpu", 1),
        _storage(Global("torch", "FloatStorage"), 0, "cpu", 1),
        _storage(Global("torch", "FloatStorage"), "0", "cpu", -1),
        _storage(Global("torch", "FloatStorage"), "0", "cpu", True),
        _storage(Global("torch", "FloatStorage"), "0"),
        pickled(Persistent("0")),
    ],
)
def test_odd_names_of_storages_are_refused(data: bytes) -> None:
    result = executed(data, persistent=stored(lambda *_: Storage(None, 0, 4)))
    assert result.problem


def test_a_view_of_a_storage_starts_where_it_says() -> None:
    view = ("view", 3, 4)
    name = Persistent(("storage", Global("torch", "FloatStorage"), "0", "cpu", 8, view))
    call = Call(Global("torch._utils", "_rebuild_tensor"), (name, 1, (2,), (1,)))
    result: Any = executed(pickled(call), persistent=stored(lambda *_: Storage(None, 0, 32)))
    assert result.value.offset == 4


def test_missing_numbers_are_told_as_the_reader_says() -> None:
    def missing(*_: object) -> Storage:
        raise CheckpointError("lacks its numbers")

    data = _storage(Global("torch", "FloatStorage"), "0", "cpu", 1)
    assert executed(data, persistent=stored(missing)).problem == "lacks its numbers"


@pytest.mark.parametrize(
    "args", [("x", 0, (1,), (1,)), (None, 0, (1,), (1,)), (1,), (), ({}, 0, 3, 4)]
)
def test_tensors_of_nothing_are_damaged(args: tuple[object, ...]) -> None:
    call = Call(Global("torch._utils", "_rebuild_tensor"), args)
    assert executed(pickled(call)).problem.startswith("is damaged")


ODD = st.recursive(
    st.sampled_from([None, True, -1, 2**70, 1.5, "", "f4", "latin1", b"", b"\0" * 10])
    | st.sampled_from([Global("torch", "float32"), Global("builtins", "object")]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=1), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(st.sampled_from(sorted(MAKERS)), st.lists(ODD, max_size=7).map(tuple))
def test_no_arguments_make_a_known_call_raise(name: tuple[str, str], args: object) -> None:
    call = push(Global(*name)) + push(args) + op("REDUCE")
    executed(program(call, push({"a": 1}), op("BUILD")))

"""Tensors that claim more than they have, or reach outside their storage."""

from collections.abc import Iterator
from dataclasses import replace

from tests.hostile.assembler import Call, Global, Persistent, pickled
from tests.hostile.case import LOADS, REFUSED, UNSAFE, Case, file_case
from tests.hostile.honest import (
    BIAS,
    ORDERED,
    WEIGHT,
    Tensor,
    entries,
    legacy,
    legacy_state_dict,
    state_dict,
    torch_zip,
)
from tests.hostile.zips import zipped

KIND = "tensors"
LYING: dict[str, Tensor] = {
    "stride-zero": replace(WEIGHT, shape=(10**6, 10**6), stride=(0, 0)),
    "shape-over-storage": replace(WEIGHT, shape=(200, 300), stride=(300, 1)),
    "stride-outside": replace(WEIGHT, stride=(10**12, 1)),
    "stride-negative": replace(WEIGHT, stride=(-3, 1)),
    "offset-outside": replace(WEIGHT, offset=5),
    "offset-negative": replace(WEIGHT, offset=-1),
    "offset-huge": replace(WEIGHT, offset=2**63 - 1),
    "size-negative": replace(WEIGHT, shape=(-2, -3)),
    "size-huge": replace(WEIGHT, shape=(2**62, 2**62), stride=(2**62, 1)),
    "size-overflows": replace(WEIGHT, shape=(2**32, 2**32), stride=(2**32, 1)),
    "size-over-64-bit": replace(WEIGHT, shape=(2**200,), stride=(1,)),
    "many-dimensions": replace(WEIGHT, shape=(1,) * 5000, stride=(1,) * 5000),
    "storage-over-file": replace(WEIGHT, numel=10**12),
    "storage-negative": replace(WEIGHT, numel=-6),
    "storage-missing": replace(WEIGHT, key="7"),
    "storage-path": replace(WEIGHT, key="../version"),
    "storage-of-nothing": replace(WEIGHT, numel=0),
    "more-strides": replace(WEIGHT, stride=(3, 1, 1)),
    "size-is-text": replace(WEIGHT, shape=("2", "3")),
    "size-is-list": replace(WEIGHT, shape=([2], [3])),
    "size-is-float": replace(WEIGHT, shape=(2.0, 3.0)),
    "size-is-none": replace(WEIGHT, shape=(None, 3)),
    "overlapping": replace(WEIGHT, shape=(3, 3), stride=(1, 1)),
}


def _sparse(*parts: object) -> Call:
    return Call(Global("torch._utils", "_rebuild_sparse_tensor"), parts)


def _layout(name: str) -> Call:
    return Call(Global("torch.serialization", "_get_layout"), (f"torch.{name}",))


def _sparse_csr() -> Call:
    data = (WEIGHT.value(), WEIGHT.value(), WEIGHT.value(), (2, 3))
    return _sparse(_layout("sparse_csr"), data)


def _call(name: str, *args: object) -> Call:
    return Call(Global("torch._utils", name), args)


SPECIAL: dict[str, object] = {
    "sparse": _sparse(_layout("sparse_coo"), (WEIGHT.value(), WEIGHT.value(), (9, 9))),
    "sparse-csr": _sparse_csr(),
    "parameter-of-text": _call("_rebuild_parameter", "text", True, Call(ORDERED)),
    "tensor-without-arguments": _call("_rebuild_tensor_v2"),
    "tensor-of-text": _call("_rebuild_tensor_v2", "a", "b", "c", "d", "e", "f"),
    "storage-alone": Persistent(("storage", Global("torch", "FloatStorage"), "0", "cpu", 6)),
    "persistent-text": Persistent("0"),
    "persistent-short": Persistent(("storage",)),
    "persistent-other": Persistent(("module", "a", "b")),
    "wrapper-subclass": _call("_rebuild_wrapper_subclass", Global("torch", "Tensor"), 0, (), ()),
    "meta-tensor": _call("_rebuild_meta_tensor_no_storage", Global("torch", "float32"), (2,), (1,)),
    "quantised": _call("_rebuild_qtensor", WEIGHT.value(), 0, (2,), (1,), ("a",), False, ()),
    "nested": _call("_rebuild_nested_tensor", WEIGHT.value(), WEIGHT.value(), (), ()),
}


def _disagreeing() -> bytes:
    """One storage is called two types of number."""
    other = replace(WEIGHT, storage=Global("torch", "DoubleStorage"), shape=(3,), stride=(1,))
    return torch_zip(state_dict({"a": WEIGHT.value(), "b": other.value()}))


def _many_views() -> bytes:
    """A file of a megabyte whose tensors claim two thousand times as much together."""
    view = replace(WEIGHT, numel=2**18, shape=(2**18,), stride=(1,)).value()
    tensors = {f"layer{index}.weight": view for index in range(2000)}
    return torch_zip(state_dict(tensors), **{"0": bytes(2**20)})


def _legacy_lie(count: int) -> bytes:
    whole = legacy(legacy_state_dict())
    tail = (6).to_bytes(8, "little") + bytes(24)
    start = whole.index(tail)
    return whole[:start] + count.to_bytes(8, "little", signed=True) + whole[start + 8 :]


def cases() -> Iterator[Case]:
    """Each as the weight of an otherwise honest archive."""
    for name, tensor in LYING.items():
        content = torch_zip(state_dict({"fc.weight": tensor.value(), "fc.bias": BIAS.value()}))
        yield file_case(name, KIND, content, REFUSED)
    for name, value in SPECIAL.items():
        content = torch_zip(state_dict({"fc.weight": value, "fc.bias": BIAS.value()}))
        yield file_case(name, KIND, content, REFUSED)
    yield file_case("storage-of-two-types", KIND, _disagreeing(), REFUSED, "CVE-2026-24747")
    unknown = replace(WEIGHT, storage=Global("torch", "NoSuchStorage"))
    content = torch_zip(state_dict({"fc.weight": unknown.value()}))
    yield file_case("unknown-storage", KIND, content, UNSAFE)
    yield file_case("many-views", KIND, _many_views(), REFUSED)
    yield file_case("no-tensors", KIND, torch_zip({"epoch": 3}), REFUSED)
    yield file_case("only-a-number", KIND, torch_zip(3), REFUSED)
    for name, count in (("huge", 2**60), ("negative", -6), ("other", 5)):
        yield file_case(f"legacy-count-{name}", KIND, _legacy_lie(count), REFUSED)
    yield file_case("legacy-unknown-key", KIND, legacy(legacy_state_dict(), keys=_keys()), REFUSED)
    empty = replace(BIAS, numel=0, shape=(0,), stride=(1,), key="2")
    content = {"fc.weight": WEIGHT.value(), "fc.bias": BIAS.value(), "empty": empty.value()}
    yield file_case(
        "tensor-of-no-elements",
        "controls",
        zipped(*entries(pickled(state_dict(content)), **{"2": b""})),
        LOADS,
    )


def _keys() -> bytes:
    return pickled(["8", "9"])

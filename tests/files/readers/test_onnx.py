from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from backaudit.core.errors import CheckpointError
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.readers.onnx import read_onnx
from backaudit.files.readers.onnx_wire import skeleton
from tests.programs.onnx_graphs import GIB, NODE, flat, model, numbers, read, tensors, whole, write

WEIGHT = numbers(8, 5)


def small(**settings: Any) -> ModelProto:
    return model(flat(NODE("MatMul", ["x", "w"], ["out"], name="m")), {"w": WEIGHT}, **settings)


def read_bytes(data: bytes, folder: Path) -> object:
    path = folder / "network.onnx"
    path.write_bytes(data)
    return read_onnx(OpenedFile(path, GIB), Limits())


def test_weights_are_spans_of_the_file_and_the_graph_keeps_none(tmp_path: Path) -> None:
    opened = write(small(), tmp_path)
    contents = read_onnx(opened, Limits())
    record: Any = contents.saved["w"]  # type: ignore[index]
    assert record.storage.file is opened
    assert bytes(record.storage.read()) == WEIGHT.tobytes()
    program: Any = contents.program
    assert list(program.model.graph.initializer[0].dims) == [8, 5]
    assert not program.model.graph.initializer[0].raw_data
    assert program.model.ByteSize() < 400
    assert contents.metadata["opset"] == 20


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "float64", "int64", "int32", "uint8", "bool"]
)
@pytest.mark.parametrize("raw", [True, False])
def test_every_way_to_store_numbers_is_read(dtype: str, raw: bool, tmp_path: Path) -> None:
    array = (np.arange(6).reshape(2, 3) - (0 if dtype in ("uint8", "bool") else 3)).astype(dtype)
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    values = array.tobytes() if raw else array.flatten().tolist()
    made = small()
    made.graph.initializer.append(helper.make_tensor("t", kind, [2, 3], values, raw=raw))
    found = read(made, tmp_path)
    record: Any = found.saved["t"]  # type: ignore[index]
    assert record.dtype == dtype
    assert bytes(record.storage.read()) == array.tobytes()


def test_bfloat16_is_read(tmp_path: Path) -> None:
    made = small()
    bits = np.array([0x3F80, 0xC000], dtype=np.uint16)
    made.graph.initializer.append(
        helper.make_tensor("t", TensorProto.BFLOAT16, [2], bits.tobytes(), raw=True)
    )
    assert tensors(read(made, tmp_path))["t"].tolist() == [1.0, -2.0]


def test_constants_that_are_weights_are_saved_under_their_name(tmp_path: Path) -> None:
    value = numpy_helper.from_array(WEIGHT)
    nodes = [NODE("Constant", [], ["w"], value=value), NODE("MatMul", ["x", "w"], ["out"])]
    contents = read(model(flat(*nodes)), tmp_path)
    assert np.array_equal(tensors(contents)["w"].numpy(), WEIGHT)
    program: Any = contents.program
    assert not program.model.graph.node[0].attribute[0].t.raw_data


def reshaped(made: ModelProto) -> None:
    made.graph.initializer[0].dims[0] = 2**40


def negative(made: ModelProto) -> None:
    made.graph.initializer[0].dims[0] = -8


def twice(made: ModelProto) -> None:
    made.graph.initializer.append(made.graph.initializer[0])


def strings(made: ModelProto) -> None:
    made.graph.initializer.append(helper.make_tensor("s", TensorProto.STRING, [1], [b"text"]))


def cyclic(made: ModelProto) -> None:
    made.graph.node[0].input[0] = "y"


def undefined(made: ModelProto) -> None:
    made.graph.node[0].input[0] = "nothing"


def unsorted(made: ModelProto) -> None:
    nodes = list(made.graph.node)
    del made.graph.node[:]
    made.graph.node.extend(reversed(nodes))


def made_twice(made: ModelProto) -> None:
    made.graph.node[1].output[0] = "out"


def shadowing(made: ModelProto) -> None:
    made.graph.node[0].output[0] = "w"


def lost_output(made: ModelProto) -> None:
    made.graph.output[0].name = "z"


def custom(made: ModelProto) -> None:
    made.graph.node[0].domain = "com.example"


def classical(made: ModelProto) -> None:
    made.graph.node.append(NODE("ZipMap", ["y"], ["z"], domain="ai.onnx.ml"))


def old(made: ModelProto) -> None:
    made.opset_import[0].version = 8


def new(made: ModelProto) -> None:
    made.opset_import[0].version = 999


def silent(made: ModelProto) -> None:
    del made.opset_import[:]


def contradictory(made: ModelProto) -> None:
    made.opset_import.append(helper.make_opsetid("", 9))


def functional(made: ModelProto) -> None:
    node = NODE("Relu", ["a"], ["b"])
    opsets = [helper.make_opsetid("", 20)]
    made.functions.append(helper.make_function("local", "F", ["a"], ["b"], [node], opsets))


def branching(made: ModelProto) -> None:
    branch = helper.make_graph([NODE("Relu", ["x"], ["r"])], "then", [], [])
    made.graph.node.append(NODE("If", ["x"], ["z"], then_branch=branch, else_branch=branch))


def sparse(made: ModelProto) -> None:
    made.graph.sparse_initializer.add().dims.append(3)


def empty(made: ModelProto) -> None:
    del made.graph.node[:]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (reshaped, "claims .* bytes and has 160"),
        (negative, "negative size"),
        (twice, "two weights named 'w'"),
        (strings, r"type that is not supported \(string\), 's'"),
        (cyclic, "cyclic, out of order or incomplete: node 'm' uses 'y'"),
        (undefined, "uses 'nothing' before anything makes it"),
        (unsorted, "node 'rows' uses 'out'"),
        (made_twice, "makes a value that exists already"),
        (shadowing, "makes a value that exists already"),
        (lost_output, "an output that nothing makes, 'z'"),
        (custom, r"operator com.example.MatMul \(node 'm'\)"),
        (classical, r"operator ai.onnx.ml.ZipMap"),
        (old, "uses opset 8"),
        (new, "uses opset 999"),
        (silent, "which set of operators"),
        (contradictory, "which set of operators"),
        (functional, "functions of its own"),
        (branching, r"graph within a graph .* under '(then|else)_branch'"),
        (sparse, "sparse weights"),
        (empty, "holds no graph"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    change: Callable[[ModelProto], None], words: str, tmp_path: Path
) -> None:
    made = small()
    change(made)
    with pytest.raises(CheckpointError, match=words):
        read(made, tmp_path)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = small().SerializeToString()
    for end in range(len(data) - 1):
        with pytest.raises(CheckpointError):
            read_bytes(data[:end], tmp_path)


@pytest.mark.parametrize("byte", [0x00, 0xFF, 0x0A])
def test_a_file_with_any_byte_changed_is_read_or_refused(byte: int, tmp_path: Path) -> None:
    data = small().SerializeToString()
    for place in range(len(data)):
        changed = data[:place] + bytes([byte]) + data[place + 1 :]
        try:
            read_bytes(changed, tmp_path)
        except CheckpointError:
            continue


def test_two_graphs_in_one_file_are_refused(tmp_path: Path) -> None:
    data = small().SerializeToString()
    with pytest.raises(CheckpointError, match="two graphs"):
        read_bytes(data + data, tmp_path)


def test_a_tensor_with_two_sets_of_numbers_is_refused(tmp_path: Path) -> None:
    made = small()
    made.graph.initializer[0].float_data.extend([1.0] * 40)
    with pytest.raises(CheckpointError, match="two sets of numbers"):
        read(made, tmp_path)


def test_what_no_network_needs_is_left_out_before_parsing() -> None:
    made = small()
    made.doc_string = made.graph.doc_string = "x" * 100_000
    made.graph.value_info.extend(made.graph.input)
    data = made.SerializeToString()
    assert len(skeleton(memoryview(data), 1000).data) < 400


def test_millions_of_empty_messages_are_refused_quickly() -> None:
    nodes = b"\x0a\x00" * 300_001
    length = len(nodes)
    size = bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14 & 0x7F])
    with pytest.raises(CheckpointError, match="more than 300,000 fields"):
        skeleton(memoryview(b"\x3a" + size + nodes), GIB)


def test_a_graph_that_is_large_without_its_weights_is_refused() -> None:
    made = small()
    made.graph.node[0].name = "n" * 5000
    with pytest.raises(CheckpointError, match="over the limit of 4,000"):
        skeleton(memoryview(made.SerializeToString()), 4000)


def test_whole_numbers_are_saved_too(tmp_path: Path) -> None:
    made = model(flat(NODE("Reshape", ["x", "s"], ["out"])), {"s": whole(0, -1)})
    assert tensors(read(made, tmp_path))["s"].tolist() == [0, -1]

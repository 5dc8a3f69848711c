import pytest
from onnx import TensorProto, helper

from backaudit.files.graphs.export_program import ExportNode, ExportProgram
from backaudit.files.readers.onnx import OnnxProgram
from backaudit.loading.inspection.graph_figures import image_size, operators


def onnx_program(*shape: int | str) -> OnnxProgram:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [0.0])
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Relu", ["y"], ["z"])]
    nodes.append(helper.make_node("Mul", ["z", "w"], ["out"]))
    inputs = [
        helper.make_tensor_value_info("w", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
    ]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, [weight])
    return OnnxProgram(helper.make_model(graph))


def export_program(*sizes: int | None) -> ExportProgram:
    nodes = [
        ExportNode(f"torch.ops.aten.{name}.default", (), {}, ("out",), several=False)
        for name in ("conv2d", "relu", "relu")
    ]
    return ExportProgram(tuple(nodes), "x", sizes, {}, ("out",))


def test_operators_are_counted_the_most_frequent_first() -> None:
    assert list(operators(onnx_program(1, 3, 8, 8)).items()) == [("Relu", 2), ("Mul", 1)]
    assert list(operators(export_program()).items()) == [("relu", 2), ("conv2d", 1)]
    assert operators(None) == {}


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 3, 32, 48), (32, 48)),
        ((1, 32, 48, 3), (32, 48)),
        (("batch", 1, 28, 28), (28, 28)),
        ((1, 3, "height", 48), None),
        ((1, 784), None),
    ],
)
def test_the_image_size_of_an_onnx_graph(
    shape: tuple[int | str, ...], size: tuple[int, int] | None
) -> None:
    assert image_size(onnx_program(*shape)) == size


def test_the_image_size_of_an_exported_program() -> None:
    assert image_size(export_program(None, 3, 64, 96)) == (64, 96)
    assert image_size(export_program(None, 3, None, None)) is None


def test_without_a_graph_there_is_no_size() -> None:
    assert image_size(None) is None

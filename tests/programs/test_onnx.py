from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto, helper
from torch import nn

from backaudit.core.errors import CheckpointError
from backaudit.programs.interface import Built
from backaudit.programs.onnx import build, verify
from tests.programs.onnx_graphs import NODE, flat, model, numbers, read, tensors, whole

ROWS = [
    NODE("Conv", ["x", "conv.weight", "conv.bias"], ["c"], name="c", pads=[1, 1, 1, 1]),
    NODE("BatchNormalization", ["c", "bn.weight", "bn.bias", "mean", "var"], ["n"], name="n"),
    NODE("Relu", ["n"], ["r"]),
    NODE("GlobalAveragePool", ["r"], ["g"]),
    NODE("Flatten", ["g"], ["f"]),
    NODE("MatMul", ["f", "head"], ["m"]),
    NODE("Add", ["m", "bias"], ["logits"]),
    NODE("Softmax", ["logits"], ["y"]),
]
WEIGHTS = {
    "conv.weight": numbers(4, 2, 3, 3),
    "conv.bias": numbers(4),
    "bn.weight": numbers(4, seed=1),
    "bn.bias": numbers(4, seed=2),
    "mean": numbers(4, seed=3),
    "var": np.abs(numbers(4, seed=4)) + 0.5,
    "head": numbers(4, 5),
    "bias": numbers(5),
}


def made(model_: ModelProto, folder: Path, **options: Any) -> tuple[Any, dict[str, Any], Built]:
    contents = read(model_, folder)
    state = tensors(contents)
    return contents.program, state, build(contents.program, state, **options)  # type: ignore[arg-type]


def rows(built: Built, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = built.network(images)
    return found


def kinds(built: Built) -> list[str]:
    return [type(layer).__name__ for layer in built.network.children()]


def test_a_graph_becomes_layers_in_their_order(tmp_path: Path) -> None:
    program, state, built = made(model(ROWS, WEIGHTS, opset=13), tmp_path)
    layers = [type(layer) for layer in built.network.modules() if not list(layer.children())]
    assert layers == [
        nn.Conv2d,
        nn.BatchNorm2d,
        nn.ReLU,
        nn.AdaptiveAvgPool2d,
        nn.Linear,
        nn.Softmax,
    ]
    assert (built.in_channels, built.input_size, built.num_classes) == (2, (6, 8), 5)
    assert built.notes == ()
    assert not built.network.training
    assert verify(program, state, built.network, torch.randn(4, 2, 6, 8)) < 1e-5


def test_every_weight_gets_a_gradient_and_no_statistic_does(tmp_path: Path) -> None:
    _, state, built = made(model(ROWS, WEIGHTS), tmp_path)
    rows_ = built.network(torch.randn(2, 2, 6, 8))
    rows_[:, 0].sum().backward()
    parameters = list(built.network.parameters())
    assert sum(p.numel() for p in parameters) == sum(
        tensor.numel() for name, tensor in state.items() if name not in ("mean", "var")
    )
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters[2:])
    assert len(dict(built.network.named_buffers())) == 3


def test_weights_are_not_copied(tmp_path: Path) -> None:
    _, state, built = made(model(ROWS, WEIGHTS), tmp_path)
    held = {p.data_ptr() for p in built.network.parameters()}
    assert state["conv.weight"].data_ptr() in held


def test_a_weight_used_twice_stays_one_parameter(tmp_path: Path) -> None:
    nodes = flat(NODE("MatMul", ["x", "w"], ["a"]), NODE("MatMul", ["a", "w"], ["out"]))
    _, _, built = made(model(nodes, {"w": numbers(8, 8)}), tmp_path)
    assert [tuple(p.shape) for p in built.network.parameters()] == [(8, 8)]


def test_layers_whose_equal_vectors_were_stored_once_have_their_own(tmp_path: Path) -> None:
    norm = ["one", "zero", "mean", "one"]
    nodes = flat(
        NODE("BatchNormalization", ["x", *norm], ["a"]),
        NODE("BatchNormalization", ["a", *norm], ["out"]),
    )
    weights = {"one": np.ones(2, np.float32), "zero": np.zeros(2, np.float32), "mean": numbers(2)}
    _, _, built = made(model(nodes, weights), tmp_path)
    places = [p.data_ptr() for p in built.network.parameters()]
    assert len(set(places)) == 4


def test_a_statistic_that_equals_a_parameter_is_kept_apart(tmp_path: Path) -> None:
    nodes = flat(NODE("BatchNormalization", ["x", "one", "zero", "zero", "one"], ["out"]))
    weights = {"one": np.ones(2, np.float32), "zero": np.zeros(2, np.float32)}
    _, _, built = made(model(nodes, weights), tmp_path)
    layer: Any = next(m for m in built.network.modules() if isinstance(m, nn.BatchNorm2d))
    with torch.no_grad():
        layer.bias.add_(1)
    assert layer.running_mean.tolist() == [0, 0]


@pytest.mark.parametrize("batch", [1, 4, "N"])
def test_any_batch_is_taken_whatever_the_graph_was_written_for(
    batch: int | str, tmp_path: Path
) -> None:
    program, state, built = made(model(ROWS, WEIGHTS, (batch, 2, 6, 8)), tmp_path)
    images = torch.randn(3, 2, 6, 8)
    together = rows(built, images)
    assert together.shape == (3, 5)
    torch.testing.assert_close(together[1:2], rows(built, images[1:2]))
    assert verify(program, state, built.network, images) < 1e-5


def test_attention_written_for_one_image_takes_batches(tmp_path: Path) -> None:
    nodes = [
        NODE("Reshape", ["x", "tokens"], ["t"]),
        NODE("Transpose", ["t"], ["first"], perm=[1, 0, 2]),
        NODE("Reshape", ["first", "heads"], ["h"]),
        NODE("Transpose", ["h"], ["q"], perm=[1, 0, 2]),
        NODE("Transpose", ["h"], ["k"], perm=[1, 2, 0]),
        NODE("MatMul", ["q", "k"], ["s"]),
        NODE("Softmax", ["s"], ["a"], axis=-1),
        NODE("MatMul", ["a", "q"], ["o"]),
        NODE("Transpose", ["o"], ["back"], perm=[1, 0, 2]),
        NODE("Reshape", ["back", "flat"], ["rows"]),
        NODE("MatMul", ["rows", "w"], ["p"]),
        NODE("Reshape", ["p", "unflat"], ["u"]),
        NODE("ReduceMean", ["u", "zero"], ["y"], keepdims=0),
    ]
    shapes = {"tokens": (1, 12, 8), "heads": (12, 2, 4), "flat": (12, 8), "unflat": (12, 1, 5)}
    weights = {name: whole(*sizes) for name, sizes in shapes.items()}
    weights |= {"w": numbers(8, 5), "zero": whole(0)}
    program, state, built = made(model(nodes, weights, (1, 2, 6, 8)), tmp_path)
    assert built.notes == ()
    assert verify(program, state, built.network, torch.randn(3, 2, 6, 8)) < 1e-5


def test_a_graph_for_one_image_that_cannot_be_widened_is_run_image_by_image(
    tmp_path: Path,
) -> None:
    nodes = [
        NODE("Gather", ["x", "first"], ["image"], axis=0),
        NODE("ReduceMean", ["image", "axes"], ["m"], keepdims=0),
        NODE("MatMul", ["m", "w"], ["v"]),
        NODE("Unsqueeze", ["v", "first_axis"], ["y"]),
    ]
    weights = {"first": np.array(0), "axes": whole(1), "first_axis": whole(0), "w": numbers(8, 5)}
    weights["axes"] = whole(0, 1)
    program, state, built = made(model(nodes, weights, (1, 2, 6, 8)), tmp_path)
    assert any("given to it alone" in note for note in built.notes)
    assert verify(program, state, built.network, torch.randn(3, 2, 6, 8)) < 1e-5


def test_images_that_influence_each_other_are_refused(tmp_path: Path) -> None:
    nodes = flat(NODE("ReduceMean", ["x", "axes"], ["m"]), NODE("Sub", ["x", "m"], ["out"]))
    with pytest.raises(CheckpointError, match="influence each other"):
        made(model(nodes, {"axes": whole(0)}, (4, 2, 6, 8)), tmp_path)


def test_a_graph_of_images_with_channels_last_takes_them_first(tmp_path: Path) -> None:
    nodes = [NODE("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), *ROWS]
    nodes[1] = NODE("Conv", ["t", "w", "conv.bias"], ["c"], pads=[1, 1, 1, 1])
    weights = WEIGHTS | {"w": numbers(4, 3, 3, 3)}
    program, state, built = made(model(nodes, weights, ("N", 6, 8, 3)), tmp_path)
    assert (built.in_channels, built.input_size) == (3, (6, 8))
    assert any("(N, H, W, C)" in note for note in built.notes)
    assert verify(program, state, built.network, torch.randn(3, 3, 6, 8)) < 1e-5


def test_a_graph_of_images_without_channels_takes_one(tmp_path: Path) -> None:
    program, state, built = made(model(flat(NODE("Relu", ["x"], ["out"])), {}, (1, 6, 8)), tmp_path)
    assert built.in_channels == 1
    assert verify(program, state, built.network, torch.randn(2, 1, 6, 8)) < 1e-5


def test_whole_numbers_as_images_are_said(tmp_path: Path) -> None:
    nodes = flat(NODE("Cast", ["x"], ["f"], to=TensorProto.FLOAT), NODE("Div", ["f", "s"], ["out"]))
    scale = {"s": np.array(255, np.float32)}
    program, state, built = made(
        model(nodes, scale, ("N", 3, 6, 8), element=TensorProto.UINT8), tmp_path
    )
    assert any("whole numbers" in note for note in built.notes)
    images = torch.randint(0, 256, (2, 3, 6, 8)).float()
    assert verify(program, state, built.network, images) < 1e-5


def test_half_precision_is_calculated_in_single_precision(tmp_path: Path) -> None:
    nodes = flat(
        NODE("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        NODE("MatMul", ["h", "w"], ["m"]),
        NODE("Constant", [], ["two"], value=helper.make_tensor("v", TensorProto.FLOAT16, [], [2])),
        NODE("Mul", ["m", "two"], ["p"]),
        NODE("Cast", ["p"], ["out"], to=TensorProto.FLOAT),
    )
    program, state, built = made(model(nodes, {"w": numbers(8, 5).astype(np.float16)}), tmp_path)
    assert any("float32" in note for note in built.notes)
    assert rows(built, torch.randn(1, 2, 6, 8)).dtype == torch.float32
    assert verify(program, state, built.network, torch.randn(2, 2, 6, 8)) < 1e-5


def test_an_open_image_size_may_be_given(tmp_path: Path) -> None:
    open_model = model(ROWS, WEIGHTS, ("N", 2, "H", "W"))
    program, state, built = made(open_model, tmp_path, size=(10, 12))
    assert built.input_size is None
    assert any("leaves the size" in note for note in built.notes)
    assert verify(program, state, built.network, torch.randn(2, 2, 10, 12)) < 1e-5


def test_the_first_output_of_logits_is_taken_and_said(tmp_path: Path) -> None:
    two = model(ROWS, WEIGHTS)
    two.graph.output.insert(0, helper.make_tensor_value_info("r", TensorProto.FLOAT, None))
    program, state, built = made(two, tmp_path)
    assert any("'y'" in note or " y " in note for note in built.notes)
    assert built.num_classes == 5
    assert verify(program, state, built.network, torch.randn(2, 2, 6, 8)) < 1e-5


def test_logits_of_one_pixel_are_made_a_row(tmp_path: Path) -> None:
    program, state, built = made(
        model([*ROWS[:3], NODE("GlobalMaxPool", ["r"], ["y"])], WEIGHTS), tmp_path
    )
    assert built.num_classes == 4
    assert verify(program, state, built.network, torch.randn(2, 2, 6, 8)) < 1e-5


def test_a_network_that_answers_otherwise_is_refused(tmp_path: Path) -> None:
    program, state, built = made(model(ROWS, WEIGHTS), tmp_path)
    images = torch.randn(2, 2, 6, 8)
    assert verify(program, state, built.network, images) < 1e-5
    layer: Any = next(m for m in built.network.modules() if isinstance(m, nn.Linear))
    layer.bias = nn.Parameter(layer.bias + torch.tensor([0.05, 0, 0, 0, 0]))
    with pytest.raises(CheckpointError, match="answers otherwise than the graph itself"):
        verify(program, state, built.network, images)


def test_a_network_whose_answers_are_no_numbers_is_refused(tmp_path: Path) -> None:
    program, state, built = made(model(ROWS, WEIGHTS), tmp_path)
    layer: Any = next(m for m in built.network.modules() if isinstance(m, nn.Linear))
    layer.bias = nn.Parameter(layer.bias * torch.nan)
    with pytest.raises(CheckpointError, match="answers otherwise"):
        verify(program, state, built.network, torch.randn(2, 2, 6, 8))


@pytest.mark.parametrize("batch", [False, True], ids=["one", "open"])
def test_an_exported_network_answers_as_the_original(batch: bool, tmp_path: Path) -> None:
    torch.random.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
        nn.LogSoftmax(dim=1),
    ).eval()
    images = torch.randn(3, 3, 12, 12)
    path = tmp_path / "exported.onnx"
    axes = {"x": {0: "N"}} if batch else None
    with pytest.warns(DeprecationWarning):
        torch.onnx.export(
            network, (images[:1],), path, dynamo=False, input_names=["x"], dynamic_axes=axes
        )
    from onnx import load

    program, state, built = made(load(path), tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(built.network(images), network(images), rtol=1e-5, atol=1e-5)
    assert verify(program, state, built.network, images) < 1e-5
    assert isinstance(list(built.network.modules())[-1], nn.LogSoftmax)

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper

from backaudit.core.errors import CheckpointError
from backaudit.programs.onnx import build
from tests.programs.onnx_graphs import NODE, flat, model, numbers, read, tensors, whole

RELU = [NODE("Relu", ["x"], ["r"]), NODE("Flatten", ["r"], ["y"])]


def build_of(made: ModelProto, folder: Path) -> None:
    contents = read(made, folder)
    program: Any = contents.program
    build(program, tensors(contents))


def refused(nodes: list[Any], weights: dict[str, Any], folder: Path, **settings: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        build_of(model(nodes, weights, **settings), folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (NODE("NonZero", ["x"], ["out"], name="q"), "the operator NonZero (node 'q')"),
        (NODE("ArgMax", ["x"], ["out"], name="q"), "makes class labels of logits"),
        (NODE("Invented", ["x"], ["out"], name="q"), "the operator Invented (node 'q')"),
        (NODE("Relu", ["x"], ["out"], name="q", odd=1), "attribute 'odd'"),
        (NODE("Relu", ["x", "x"], ["out"], name="q"), "too many inputs"),
        (NODE("Conv", ["x", "w"], ["out"], auto_pad="MAYBE"), "auto_pad=MAYBE"),
        (NODE("Conv", ["x", "w"], ["out"], pads=[-1, 0, 0, 0]), "negative settings"),
        (NODE("Conv", ["x", "w"], ["out"], strides=[0, 1]), "negative settings"),
        (NODE("MaxPool", ["x"], ["out"], kernel_shape=[2]), "not as many"),
        (NODE("MaxPool", ["x"], ["out"], kernel_shape=[2, 2], storage_order=1), "storage_order=1"),
        (NODE("Pad", ["x", "p"], ["out"], mode="wrap"), "none of constant, reflect"),
        (NODE("Resize", ["x", "", "s"], ["out"], mode="best"), "mode=best"),
        (NODE("Cast", ["x"], ["out"], to=8), "to=8"),
        (NODE("BatchNormalization", ["x", *"ccaa"], ["out"], training_mode=1), "training_mode"),
        (NODE("Attention", ["x"] * 3, ["out"], is_causal=1), "is_causal=1"),
        (NODE("Reshape", ["x", "x"], ["out"]), "depends on the image"),
        (NODE("Tile", ["x", "huge"], ["out"]), "makes a tensor"),
        (NODE("Pad", ["x", "huge_pads"], ["out"]), "makes a tensor"),
        (NODE("Resize", ["x", "", "", "huge"], ["out"], mode="linear"), "makes a tensor"),
        (NODE("ConstantOfShape", ["huge"], ["out"]), "makes a tensor"),
        (NODE("Tile", ["k", "huge"], ["out"]), "makes a tensor"),
        (NODE("MatMul", ["x", "c"], ["out"], name="q"), "'q' (MatMul) does not fit its inputs"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(node: Any, words: str, tmp_path: Path) -> None:
    weights = {
        "w": numbers(4, 2, 3, 3),
        "c": numbers(2),
        "a": numbers(2),
        "p": whole(0, 0, 1, 1, 0, 0, 1, 1),
        "s": np.array([1, 1, 2, 2.5], np.float32),
        "k": np.ones((1, 1, 1, 1), np.int64),
        "huge": whole(1, 1, 100_000, 100_000),
        "huge_pads": whole(0, 0, 100_000, 100_000, 0, 0, 0, 0),
    }
    assert words in refused(flat(node), weights, tmp_path, opset=23)


def test_resizing_as_opset_10_did_is_refused(tmp_path: Path) -> None:
    scales = {"s": np.array([1, 1, 2, 2], np.float32)}
    assert "opset 11" in refused(
        flat(NODE("Resize", ["x", "s"], ["out"])), scales, tmp_path, opset=10
    )


def second_input(made_: ModelProto) -> None:
    made_.graph.input.append(helper.make_tensor_value_info("mask", 1, ["N"]))


def no_input(made_: ModelProto) -> None:
    del made_.graph.input[:]


def vector_input(made_: ModelProto) -> None:
    del made_.graph.input[0].type.tensor_type.shape.dim[1:]


def large_input(made_: ModelProto) -> None:
    made_.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2**40


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (second_input, r"2 inputs \(x, mask\)"),
        (vector_input, "input has 1 dimensions"),
        (large_input, "batches of 1,099,511,627,776"),
    ],
)
def test_a_graph_that_takes_no_images_is_refused(
    change: Callable[[ModelProto], None], words: str, tmp_path: Path
) -> None:
    changed = model(RELU)
    change(changed)
    with pytest.raises(CheckpointError, match=words):
        build_of(changed, tmp_path)


def test_a_graph_without_a_row_for_each_image_is_refused(tmp_path: Path) -> None:
    words = refused([NODE("Relu", ["x"], ["y"])], {}, tmp_path)
    assert "not one row of logits for each image" in words

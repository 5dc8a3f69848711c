from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backaudit.programs.onnx import build
from backaudit.programs.onnx.pieces import PIECES
from backaudit.programs.onnx.reference import evaluator
from backaudit.programs.onnx.shapes import SHAPES
from tests.programs import onnx_cases, onnx_shape_cases
from tests.programs.onnx_graphs import ONE, OPEN, model, read, tensors

CASES = {**onnx_cases.CASES, **onnx_shape_cases.CASES}
# What a graph for one image does to shapes may have to be done otherwise for several.
SHAPING = {*SHAPES, *PIECES, "Softmax", "Gemm", "ConstantOfShape"}


def pairs() -> list[tuple[str, tuple[Any, ...]]]:
    shaping = [
        case
        for case, (nodes, *_) in CASES.items()
        if any(node.op_type in SHAPING for node in nodes[:-1])
    ]
    return [*((case, OPEN) for case in CASES), *((case, ONE) for case in shaping)]


@pytest.mark.parametrize(
    ("case", "shape"), pairs(), ids=lambda value: value if isinstance(value, str) else str(value[0])
)
def test_an_operator_does_what_the_reference_evaluator_does(
    case: str, shape: tuple[Any, ...], tmp_path: Path
) -> None:
    nodes, weights, opset = CASES[case]
    made = model(nodes, weights, shape, opset)
    contents = read(made, tmp_path)
    images = torch.randn(3, 2, 6, 8, generator=torch.Generator().manual_seed(1))
    reference = evaluator(made)
    wanted = np.concatenate(
        [
            np.asarray(reference.run(None, {"x": image[None].numpy()})[0]).reshape(1, -1)
            for image in images
        ]
    )

    built = build(contents.program, tensors(contents))

    with torch.no_grad():
        found = built.network(images).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5)
    assert built.num_classes == wanted.shape[1]
    assert not any("alone" in note for note in built.notes)

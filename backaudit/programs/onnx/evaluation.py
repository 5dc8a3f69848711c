"""Does the network answer as the graph does?"""

import time
from collections.abc import Mapping
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.readers.onnx import OnnxProgram
from backaudit.programs.onnx.elementwise import BFLOAT16, DOUBLE, FLOAT16, FLOAT32
from backaudit.programs.onnx.images import FLOATS, ImageInput, image_input

TOLERANCE = 1e-3
MOST_IMAGES = 4
ENOUGH_SECONDS = 1.5
REDUCED = (FLOAT16, BFLOAT16, DOUBLE)


def verify(
    program: OnnxProgram, state: Mapping[str, Tensor], network: nn.Module, inputs: Tensor
) -> float:
    """Compare the network with ONNX's own reference evaluator, which knows nothing of torch.

    The evaluator is slow: a ResNet-18 takes it some 0.6 s for each image of 224 by 224 pixels, and
    larger networks several seconds. One image is always compared; more, up to four, as long as
    1.5 s have not passed.

    Args:
        program: the graph.
        state: its tensors by name, floating-point ones as float32.
        network: that was built of it.
        inputs: real samples (N, C, H, W), as the graph takes them.

    Returns:
        The largest difference of any output, as a share of the largest output.

    Raises:
        CheckpointError: if it is over 1e-3, or if the evaluator refuses the graph.
    """
    images = image_input(program.model.graph)
    inputs = inputs[:MOST_IMAGES]
    with torch.no_grad():
        answers = network(inputs.to(next(network.parameters(), inputs).device)).cpu().double()
    rows = _reference_rows(_filled(program.model, state), images, inputs, answers.shape[1])
    wanted = torch.from_numpy(np.stack(rows)).double()
    scale = wanted.abs().max().clamp(min=1e-6)
    difference = float(((answers[: len(wanted)] - wanted).abs().max() / scale).nan_to_num(inf))
    if difference > TOLERANCE:
        raise CheckpointError(
            "was not understood: the network rebuilt from the ONNX graph answers otherwise than "
            f"the graph itself (by {difference:.2g} of its largest output, over {TOLERANCE:g}); "
            "export it again, or give its weights as a state dict"
        )
    return difference


def _reference_rows(
    model: Any, images: ImageInput, inputs: Tensor, columns: int
) -> list[np.ndarray[Any, Any]]:
    from backaudit.programs.onnx.reference import evaluator

    reference = evaluator(model)
    rows: list[np.ndarray[Any, Any]] = []
    started = time.monotonic()
    for image in inputs:
        if rows and time.monotonic() - started > ENOUGH_SECONDS:
            break
        batch = images.arranged(image[None].expand(images.batch or 1, -1, -1, -1))
        array = batch.contiguous().cpu().numpy().astype(_numpy_type(images.element))
        try:
            outputs: Any = reference.run(None, {images.name: array})
            rows.append(_row(outputs, columns))
        # The evaluator can raise anything on a graph that is not valid.
        except Exception as error:
            raise CheckpointError(
                f"has a graph that ONNX's own evaluator refuses ({printable(error, limit=160)})"
            ) from error
    return rows


def _row(outputs: list[Any], columns: int) -> np.ndarray[Any, Any]:
    """The first image's row of the first output that has one; a batch of one may be dropped."""
    arrays = [np.asarray(output) for output in outputs]
    rows = [
        array if array.shape == (columns,) else array[0].reshape(-1)
        for array in arrays
        if array.ndim
    ]
    return next(row for row in rows if row.size == columns)


def _numpy_type(element: int) -> Any:
    from onnx import helper

    return np.float32 if element in FLOATS else helper.tensor_dtype_to_np_dtype(element)


def _filled(stripped: Any, state: Mapping[str, Tensor]) -> Any:
    """The graph with its weights, everything in float32."""
    from onnx import ModelProto, numpy_helper

    model = ModelProto()
    model.CopyFrom(stripped)
    for proto in model.graph.initializer:
        proto.CopyFrom(numpy_helper.from_array(state[proto.name].numpy(), proto.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _fill(attribute.t, state, node.output[0] if node.op_type == "Constant" else "")
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i in REDUCED:
                attribute.i = FLOAT32
    return model


def _fill(proto: Any, state: Mapping[str, Tensor], name: str) -> None:
    from onnx import numpy_helper

    if name in state:
        proto.CopyFrom(numpy_helper.from_array(state[name].numpy()))
    elif proto.data_type in REDUCED:
        array = numpy_helper.to_array(proto).astype(np.float32)
        proto.CopyFrom(numpy_helper.from_array(array))

"""Small ONNX graphs, and what the reader makes of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from backaudit.files.contents import Contents
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.readers.onnx import read_onnx

GIB = 2**30
NODE = helper.make_node
OPEN = ("N", 2, 6, 8)
ONE = (1, 2, 6, 8)


def numbers(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def whole(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.int64)


def model(
    nodes: Sequence[NodeProto],
    weights: Mapping[str, np.ndarray[Any, Any]] | None = None,
    shape: Sequence[int | str] = OPEN,
    opset: int = 20,
    element: int = TensorProto.FLOAT,
) -> ModelProto:
    """A graph from ``x`` to ``y``."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", element, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def flat(*nodes: NodeProto) -> list[NodeProto]:
    """Operators from ``x`` to ``out``, and a row for each image made of the result."""
    return [*nodes, NODE("Flatten", ["out"], ["y"], name="rows")]


def write(made: ModelProto, folder: Path) -> OpenedFile:
    path = folder / "network.onnx"
    path.write_bytes(made.SerializeToString())
    return OpenedFile(path, GIB)


def read(made: ModelProto, folder: Path) -> Contents:
    return read_onnx(write(made, folder), Limits())


def tensors(contents: Contents) -> dict[str, torch.Tensor]:
    """The saved tensors, as a loader hands them on."""
    saved: Any = contents.saved
    state = {}
    for name, record in saved.items():
        data = bytearray(record.storage.read())
        dtype = getattr(torch, record.dtype)
        tensor = torch.frombuffer(data, dtype=dtype) if data else torch.zeros(0, dtype=dtype)
        state[name] = tensor.reshape(record.shape)
    return {n: t.float() if t.is_floating_point() else t for n, t in state.items()}

"""ONNX: a graph and its weights, read without running anything."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.contents import Contents
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.readers.onnx_tensors import FLOATS, Tensors
from backaudit.files.readers.onnx_wire import DAMAGED, Skeleton, skeleton
from backaudit.files.records import TensorRecord

OLDEST_OPSET = 9
OLDEST_IR = 3
MOST_NODES = 50_000
DEFAULT_DOMAINS = ("", "ai.onnx")
EXPORT_AGAIN = "export the network again, or give its weights as a state dict"
DATA_FIELDS = (
    *("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"),
    *("external_data", "data_location"),
)


@dataclass(frozen=True)
class OnnxProgram:
    """A graph whose weights lie elsewhere.

    Args:
        model: ``onnx.ModelProto``; its initialisers, and constants that are weights, have types
            and shapes but no numbers.
    """

    model: Any


def read_onnx(opened: OpenedFile, limits: Limits) -> Contents:
    """Read an ONNX file, and the files beside it that hold its weights.

    Args:
        opened: the file.
        limits: on all files together.

    Raises:
        CheckpointError: if the file is damaged, or has what cannot be used.
    """
    walked = skeleton(opened.data, limits.header)
    model = _parsed(walked)
    _check_versions(model)
    _check_nodes(model.graph)
    tensors = Tensors(opened, limits)
    saved = dict(_records(model.graph, walked, tensors, limits))
    tensors.check()
    _check_order(model.graph)
    return Contents(
        saved=saved,
        metadata=_metadata(model),
        program=OnnxProgram(model),
        files=tuple(tensors.files.values()),
    )


def _parsed(walked: Skeleton) -> Any:
    from onnx import load_model_from_string

    try:
        model = load_model_from_string(walked.data)
    # The parser's own errors lie in a package of its own.
    except Exception as error:
        raise CheckpointError(DAMAGED) from error
    if not model.graph.node:
        raise CheckpointError("holds no graph: it is damaged, or no ONNX model")
    return model


def _check_versions(model: Any) -> None:
    from onnx.defs import onnx_opset_version

    opsets = {entry.domain: entry.version for entry in model.opset_import}
    found = [opsets[domain] for domain in DEFAULT_DOMAINS if domain in opsets]
    newest = onnx_opset_version()
    if len(found) != 1 or len(opsets) != len(model.opset_import):
        raise CheckpointError("does not say, once, which set of operators (opset) it uses")
    if not OLDEST_OPSET <= found[0] <= newest:
        raise CheckpointError(
            f"uses opset {found[0]}; {OLDEST_OPSET} to {newest} are supported: {EXPORT_AGAIN}"
        )
    if model.ir_version < OLDEST_IR:
        raise CheckpointError(f"has the format version {model.ir_version}, which is too old")


def _check_nodes(graph: Any) -> None:
    if len(graph.node) > MOST_NODES:
        raise CheckpointError(f"has a graph of more than {MOST_NODES:,} operators")
    for node in graph.node:
        if node.domain not in DEFAULT_DOMAINS:
            raise CheckpointError(
                f"uses the operator {printable(f'{node.domain}.{node.op_type}')} "
                f"(node {printable(node.name)!r}), which is not one of ONNX's own: {EXPORT_AGAIN}"
            )


def _records(
    graph: Any, walked: Skeleton, tensors: Tensors, limits: Limits
) -> Iterator[tuple[str, TensorRecord]]:
    """Name and record of each weight, whose numbers are taken out of the graph."""
    if len(graph.initializer) > limits.entries:
        raise CheckpointError(f"has more than {limits.entries:,} tensors")
    seen: set[str] = set()
    for proto, span in zip(graph.initializer, walked.spans, strict=True):
        if not proto.name or proto.name in seen:
            raise CheckpointError(
                f"has two weights named {printable(proto.name)!r}, or one unnamed"
            )
        seen.add(proto.name)
        yield proto.name, tensors.record(proto, proto.name, span)
        _strip(proto)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                record = tensors.record(attribute.t, node.name, None)
                if _is_weight(node, attribute.t):
                    yield node.output[0], record
                    _strip(attribute.t)


def _is_weight(node: Any, proto: Any) -> bool:
    several = len(proto.dims) > 0 and any(size > 1 for size in proto.dims)
    constant = node.op_type == "Constant" and len(node.output) == 1
    return bool(constant and several and proto.data_type in FLOATS)


def _strip(proto: Any) -> None:
    for name in DATA_FIELDS:
        proto.ClearField(name)


def _check_order(graph: Any) -> None:
    """Every value is made once, before it is used: no cycles, nothing undefined."""
    given = [value.name for value in graph.input]
    if len(set(given)) != len(given):
        raise CheckpointError("has two inputs of one name: it is damaged or made to deceive")
    known = {*given, *(proto.name for proto in graph.initializer)}
    for node in graph.node:
        where = f"node {printable(node.name or node.op_type)!r}"
        unknown = next((name for name in node.input if name and name not in known), None)
        if unknown is not None:
            raise CheckpointError(
                f"has a graph that is cyclic, out of order or incomplete: {where} uses "
                f"{printable(unknown)!r} before anything makes it"
            )
        again = next((name for name in node.output if name and name in known), None)
        if again is not None or len(set(node.output)) != len(node.output):
            raise CheckpointError(f"has a graph in which {where} makes a value that exists already")
        known.update(name for name in node.output if name)
    missing = next((value.name for value in graph.output if value.name not in known), None)
    if missing is not None or not graph.output:
        raise CheckpointError(f"has an output that nothing makes, {printable(missing)!r}")


def _metadata(model: Any) -> dict[str, object]:
    told = {
        printable(entry.key): printable(entry.value, limit=10_000) for entry in model.metadata_props
    }
    producer = printable(f"{model.producer_name} {model.producer_version}".strip())
    opset = next(e.version for e in model.opset_import if e.domain in DEFAULT_DOMAINS)
    return {**told, "producer": producer, "opset": opset}

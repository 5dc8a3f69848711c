"""ONNX graphs that reach for other files, run in circles, or claim what they do not hold."""

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hostile.case import LOADS, REFUSED, Canary, Case
from tests.hostile.protobuf import each, number, text

KIND = "onnx"
FLOAT, EXTERNAL = 1, 1
WEIGHT = struct.pack("<6f", 0.1, -0.2, 0.3, 0.4, -0.5, 0.6)
BIAS = struct.pack("<2f", 0.5, -0.5)


def tensor(
    name: str, shape: tuple[int, ...], data: bytes, *more: bytes, dtype: int = FLOAT
) -> bytes:
    """An initialiser with raw bytes."""
    sizes = b"".join(number(1, size) for size in shape)
    raw = text(9, data) if data else b""
    return sizes + number(2, dtype) + text(8, name) + raw + b"".join(more)


def external(name: str, shape: tuple[int, ...], location: str, **where: object) -> bytes:
    """An initialiser whose bytes lie in another file."""
    entries = {"location": location, **{key: str(value) for key, value in where.items()}}
    pairs = each(13, (text(1, key) + text(2, value) for key, value in entries.items()))
    return tensor(name, shape, b"", pairs, number(14, EXTERNAL))


def node(operator: str, inputs: str, output: str, *attributes: bytes, domain: str = "") -> bytes:
    """A node; inputs are separated by spaces."""
    parts = each(1, inputs.split()) + text(2, output) + text(3, output) + text(4, operator)
    return parts + each(5, attributes) + (text(7, domain) if domain else b"")


def integer(name: str, value: int) -> bytes:
    """An attribute."""
    return text(1, name) + number(3, value) + number(20, 2)


def graph_attribute(name: str, graph: bytes) -> bytes:
    """An attribute that is a graph."""
    return text(1, name) + text(6, graph) + number(20, 5)


def values(name: str, *shape: int | str) -> bytes:
    """What an input or an output looks like."""
    sizes = (number(1, size) if isinstance(size, int) else text(2, size) for size in shape)
    return text(1, name) + text(2, text(1, number(1, FLOAT) + text(2, each(1, sizes))))


NODES = (
    node("GlobalAveragePool", "input", "pooled"),
    node("Flatten", "pooled", "flat", integer("axis", 1)),
    node("Gemm", "flat fc.weight fc.bias", "output", integer("transB", 1)),
)
TENSORS = (tensor("fc.weight", (2, 3), WEIGHT), tensor("fc.bias", (2,), BIAS))
INPUT, OUTPUT = values("input", 1, 3, 4, 4), values("output", 1, 2)


def graph(
    nodes: tuple[bytes, ...] = NODES,
    tensors: tuple[bytes, ...] = TENSORS,
    inputs: tuple[bytes, ...] = (INPUT,),
    outputs: tuple[bytes, ...] = (OUTPUT,),
) -> bytes:
    """A graph."""
    named = each(1, nodes) + text(2, "graph") + each(5, tensors)
    return named + each(11, inputs) + each(12, outputs)


def model(body: bytes | None = None, *more: bytes, opset: int = 17, domain: str = "") -> bytes:
    """A model around a graph."""
    head = number(1, 8) + text(2, "hand")
    imported = text(8, text(1, domain) + number(2, opset))
    return head + text(7, graph() if body is None else body) + imported + b"".join(more)


def _nested_ifs(depth: int) -> bytes:
    body = graph()
    for _ in range(depth):
        body = graph(nodes=(node("If", "input", "output", graph_attribute("then_branch", body)),))
    return body


def _doubling(layers: int) -> bytes:
    """Each node concatenates what came before with itself."""
    nodes = [
        node("Concat", f"n{layer} n{layer}", f"n{layer + 1}", integer("axis", 1))
        for layer in range(layers)
    ]
    first = node("Identity", "input", "n0")
    last = node("Identity", f"n{layers}", "output")
    return graph(nodes=(first, *nodes, last), tensors=())


def _constant_bomb() -> bytes:
    shape = tensor("shape", (4,), struct.pack("<4q", *[2**20] * 4), dtype=7)
    nodes = (node("ConstantOfShape", "shape", "huge"), node("Add", "input huge", "output"))
    return graph(nodes, (shape,))


def _function() -> bytes:
    """A local function that calls itself."""
    body = text(1, "again") + text(4, "input") + text(5, "output")
    body += text(7, node("again", "input", "output", domain="local")) + text(10, "local")
    return text(25, body)


CYCLE = (node("Relu", "b", "a"), node("Relu", "a", "b"), node("Add", "a input", "output"))
BROKEN: dict[str, bytes] = {
    "cycle": model(graph(CYCLE)),
    "node-reads-itself": model(graph((node("Relu", "output", "output"),))),
    "unknown-operator": model(graph((node("NoSuchOperator", "input", "output"),))),
    "other-domain": model(graph((node("Relu", "input", "output", domain="com.example"),))),
    "missing-input": model(graph((node("Relu", "nothing", "output"),))),
    "no-output": model(graph(outputs=())),
    "no-nodes": model(graph(nodes=())),
    "no-graph": number(1, 8) + text(8, number(2, 17)),
    "same-name-twice": model(graph((*NODES, node("Relu", "input", "output")))),
    "weight-too-short": model(graph(tensors=(tensor("fc.weight", (2, 3), b"1234"), TENSORS[1]))),
    "weight-negative": model(graph(tensors=(tensor("fc.weight", (-2, 3), WEIGHT), TENSORS[1]))),
    "weight-huge": model(graph(tensors=(tensor("fc.weight", (2**40, 2**40), WEIGHT), TENSORS[1]))),
    "weight-unknown-type": model(
        graph(tensors=(tensor("fc.weight", (2, 3), WEIGHT, dtype=99), TENSORS[1]))
    ),
    "weight-of-text": model(graph(tensors=(tensor("fc.weight", (2, 3), b"", dtype=8), TENSORS[1]))),
    "nested-graphs": model(_nested_ifs(150)),
    "doubling-nodes": model(_doubling(60)),
    "constant-bomb": model(_constant_bomb()),
    "function-of-itself": model(
        graph((node("again", "input", "output", domain="local"),)), _function()
    ),
    "input-huge": model(graph(inputs=(values("input", 2**40, 3, 4, 4),))),
    "opset-zero": model(opset=0),
    "opset-of-the-future": model(opset=10**9),
    "length-over-file": number(1, 8) + b"\x3a\xff\xff\xff\xff\x07",
    "length-huge": number(1, 8) + b"\x3a" + b"\xff" * 9 + b"\x01",
    "endless-number": number(1, 8) + b"\x08" + b"\xff" * 100,
    "endless-groups": number(1, 8) + b"\x13" * 50_000,
}
OUTSIDE = {
    "parent": ("../outside.bin", "CVE-2022-25882"),
    "parent-inside": ("a/../../outside.bin", "CVE-2024-27318"),
    "absolute": ("/etc/hostname", "CVE-2022-25882"),
    "absolute-inside": ("//etc/hostname", "CVE-2024-27318"),
    "windows": ("..\\outside.bin", "CVE-2024-27318"),
    "windows-drive": ("C:\\outside.bin", "CVE-2024-27318"),
    "empty": ("", ""),
    "zero-byte": ("weights.bin\0.txt", ""),
    "folder": (".", ""),
    "device": ("/dev/zero", ""),
}
WHERE: dict[str, dict[str, object]] = {
    "offset-negative": {"offset": -8, "length": 24},
    "offset-outside": {"offset": 10**12, "length": 24},
    "length-outside": {"offset": 0, "length": 10**12},
    "length-negative": {"offset": 0, "length": -1},
    "offset-text": {"offset": "zero", "length": 24},
    "length-short": {"offset": 0, "length": 8},
}


def _external(location: str, **where: object) -> bytes:
    return model(graph(tensors=(external("fc.weight", (2, 3), location, **where), TENSORS[1])))


def _folder_case(
    name: str, data: bytes, expected: str, advisory: str, prepare: Callable[[Path], object]
) -> Case:
    def build(folder: Path, canary: Canary) -> Path:
        inner = folder / name
        inner.mkdir()
        (folder / "outside.bin").write_bytes(WEIGHT)
        prepare(inner)
        (inner / "model.onnx").write_bytes(data)
        return inner / "model.onnx"

    return Case(name, KIND if expected == REFUSED else "controls", build, expected, advisory)


def _link(target: str, name: str = "weights.bin") -> Callable[[Path], object]:
    return lambda folder: (folder / name).symlink_to(target)


PREPARED: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "symlink": ("weights.bin", "CVE-2026-34447", _link("../outside.bin")),
    "symlink-to-device": ("weights.bin", "CVE-2026-34447", _link("/dev/zero")),
    "symlinked-folder": ("sub/outside.bin", "CVE-2026-27489", _link("..", "sub")),
    "symlink-to-itself": ("weights.bin", "", _link("weights.bin")),
    "fifo": ("weights.bin", "", lambda folder: os.mkfifo(folder / "weights.bin")),
    "missing": ("weights.bin", "", lambda _: None),
    "short-file": ("weights.bin", "", lambda folder: (folder / "weights.bin").write_bytes(b"12")),
}


def cases() -> Iterator[Case]:
    """Broken graphs, and external data that leaves the folder; honest ones load."""
    nothing: Callable[[Path], object] = lambda _: None  # noqa: E731
    for name, data in BROKEN.items():
        yield _folder_case(f"onnx-{name}", data, REFUSED, "", nothing)
    for name, (location, advisory) in OUTSIDE.items():
        yield _folder_case(f"onnx-data-{name}", _external(location), REFUSED, advisory, nothing)
    for name, where in WHERE.items():
        data = _external("weights.bin", **where)
        yield _folder_case(f"onnx-data-{name}", data, REFUSED, "", _weights)
    for name, (location, advisory, prepare) in PREPARED.items():
        yield _folder_case(f"onnx-data-{name}", _external(location), REFUSED, advisory, prepare)
    honest = _external("weights.bin", offset=0, length=24)
    negative = model(graph(inputs=(values("input", -1, 3, -4, -4),)))
    yield _folder_case("onnx-input-negative", negative, LOADS, "", nothing)
    yield _folder_case("onnx-external", honest, LOADS, "", _weights)
    yield _folder_case("onnx-honest", model(), LOADS, "", nothing)


def _weights(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(WEIGHT)

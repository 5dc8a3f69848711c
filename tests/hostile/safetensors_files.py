"""Safetensors files whose header lies."""

import json
import struct
from collections.abc import Iterator

from tests.hostile.assembler import pickled
from tests.hostile.case import LOADS, REFUSED, UNSAFE, Case, file_case

KIND = "safetensors"
DATA = struct.pack("<8f", *(0.5 * index for index in range(8)))
WEIGHT = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
BIAS = {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]}
TENSORS = {"fc.weight": WEIGHT, "fc.bias": BIAS}


def written(header: object, data: bytes = DATA, *, length: int | None = None) -> bytes:
    """A file with a header, which may be text already; ``length`` overrides the header's."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def honest(metadata: object = None) -> bytes:
    """Two tensors."""
    return written(TENSORS if metadata is None else {"__metadata__": metadata, **TENSORS})


def _with(**changed: object) -> bytes:
    return written({**TENSORS, "fc.weight": {**WEIGHT, **changed}})


LYING: dict[str, bytes] = {
    "offsets-overlap": written({**TENSORS, "fc.bias": {**BIAS, "data_offsets": [20, 28]}}),
    "offsets-outside": _with(data_offsets=[0, 2**40], shape=[2**38]),
    "offsets-reversed": _with(data_offsets=[24, 0]),
    "offsets-negative": _with(data_offsets=[-24, 0]),
    "offsets-huge": _with(data_offsets=[2**63, 2**64]),
    "offsets-are-floats": _with(data_offsets=[0.0, 24.0]),
    "offsets-are-true": _with(data_offsets=[False, 24]),
    "offsets-missing": written({"fc.weight": {"dtype": "F32", "shape": [2, 3]}}),
    "offsets-of-three": _with(data_offsets=[0, 24, 32]),
    "offsets-leave-a-hole": written({"fc.bias": BIAS}),
    "bytes-after-the-last": written(TENSORS, DATA + b"more"),
    "shape-over-data": _with(shape=[200, 300]),
    "shape-negative": _with(shape=[-2, -3]),
    "shape-overflows": _with(shape=[2**32, 2**32, 6]),
    "shape-huge": _with(shape=[10**40]),
    "shape-is-text": _with(shape="23"),
    "shape-of-zeros-and-huge": _with(shape=[0, 2**62, 2**62], data_offsets=[0, 0]),
    "many-dimensions": _with(shape=[2, 3, *[1] * 10_000]),
    "unknown-dtype": _with(dtype="F31"),
    "dtype-is-list": _with(dtype=["F32"]),
    "tensor-is-list": written({"fc.weight": [1, 2]}),
    "header-is-list": written([1, 2]),
    "header-is-number": written(b"7"),
    "header-is-empty": written(b""),
    "header-is-broken": written(b'{"fc.weight": {'),
    "header-not-utf8": written(b'{"\xff\xfe": 1}'),
    "header-of-nan": written(
        b'{"fc.weight": {"dtype": "F32", "shape": [NaN], "data_offsets": []}}'
    ),
    "header-deep": written(b"[" * 200_000),
    "header-deep-dict": written(b'{"a":' * 100_000),
    "header-of-digits": written(b'{"a": ' + b"9" * 500_000 + b"}"),
    "header-giant": written(b"{}", length=2**62),
    "header-over-limit": written(b"{}", length=100_000_001),
    "header-longer-than-file": written(TENSORS, length=10_000),
    "header-negative": struct.pack("<q", -1) + b"{}",
    "header-padded": written(b" " * 10_000_000 + b"{}"),
    "duplicate-names": written(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
        b'"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}',
        DATA[:16],
    ),
    "metadata-is-list": honest([1]),
    "metadata-is-nested": honest({"a": {"b": "c"}}),
    "no-tensors": written({}, b""),
    "name-is-empty": written({"": {**WEIGHT, "shape": [8], "data_offsets": [0, 32]}}),
}


def cases() -> Iterator[Case]:
    """A lying header is refused; odd but true ones load."""
    for name, data in LYING.items():
        yield file_case(f"safetensors-{name}", KIND, data, REFUSED, "", ".safetensors")
    yield file_case(
        "safetensors-pickle-appended",
        KIND,
        lambda canary: honest() + pickled(canary.call),
        REFUSED,
        "",
        ".safetensors",
    )
    yield file_case(
        "safetensors-is-a-pickle",
        KIND,
        lambda canary: pickled(canary.call),
        UNSAFE,
        "CVE-2025-10155 GHSA-jgw4-cr84-mqxg",
        ".safetensors",
        live=True,
    )
    yield file_case("safetensors-honest", "controls", honest(), LOADS, "", ".safetensors")
    yield file_case("safetensors-named-pt", "controls", honest({"format": "pt"}), LOADS, "", ".pt")
    yield file_case(
        "safetensors-control-characters",
        "controls",
        honest({"note": "\x1b[31mred\x07\u202e"}),
        LOADS,
        "",
        ".safetensors",
    )

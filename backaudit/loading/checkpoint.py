"""From a file to named tensors on the CPU; nothing in the file is ever executed."""

import argparse
import collections
import hashlib
import io
import json
import os
import pathlib
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.loading.formats import DAMAGED, SAVE_STATE_DICT, checkpoint_format, unpacked_bytes
from backaudit.loading.unwrap import Unwrapped, parsed_metadata, unwrap

LARGEST = 8 * 2**30
GIB = 2**30
# What damage makes the unpickler raise, by kind of error and by words.
BROKEN = (EOFError, IndexError, KeyError, UnicodeError, struct.error)
TRUNCATED = (
    *("central directory", "corrupted", "header", "incomplete metadata", "invalid magic"),
    *("miniz", "pytorchstreamreader", "ran out of input", "truncated", "unexpected eof"),
)


def _inert() -> list[Any]:
    """What honest checkpoints hold besides tensors; all it can do is keep a value."""
    plain = (int, float, str, list, dict, set)
    rebuilders = {
        "scalar": np.float64(0).__reduce__()[0],
        "_reconstruct": np.zeros(1).__reduce__()[0],
    }
    return [
        *(argparse.Namespace, collections.OrderedDict),
        (_without_default, "collections.defaultdict"),
        *((kind, f"builtins.{kind.__name__}") for kind in plain),
        (int, "__builtin__.long"),
        # Paths lose what reaches the file system; Python 3.13 has them in another module.
        *(
            (kind, f"{module}.{pure}{kind.__name__.removeprefix('Pure')}")
            for kind in (pathlib.PurePosixPath, pathlib.PureWindowsPath)
            for pure in ("", "Pure")
            for module in ("pathlib", "pathlib._local")
        ),
        *(np.dtype, np.ndarray, *{type(np.dtype(kind)) for kind in "?bhilqBHILQefdUO"}),
        # Old and new names of the same modules.
        *(
            (rebuilder, f"numpy.{core}.multiarray.{name}")
            for name, rebuilder in rebuilders.items()
            for core in ("core", "_core")
        ),
    ]


def _without_default(*_factory: object) -> dict[object, object]:
    """Stand in for ``defaultdict``, which torch's restricted unpickler cannot fill."""
    return {}


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors, and the file they came from.

    Args:
        path: the file.
        sha256: digest of the bytes that were parsed, in hexadecimal.
        format: ``torch-zip``, ``torch-legacy`` or ``safetensors``.
        state: name -> dense tensor on the CPU; floating-point ones are float32.
        wrapper: keys that led to the tensors.
        prefix: what was removed from the start of every name.
        metadata: plain values that lay beside the tensors.
        notes: what was done to the tensors or chosen among them, one sentence each.
    """

    path: Path
    sha256: str
    format: str
    state: dict[str, Tensor]
    wrapper: tuple[str, ...]
    prefix: str
    metadata: dict[str, object]
    notes: tuple[str, ...] = ()


def read_checkpoint(path: Path, *, max_bytes: int = LARGEST) -> Checkpoint:
    """Read the weights of a file that torch or safetensors wrote.

    Args:
        path: the file.
        max_bytes: of the file, and of its tensors.

    Raises:
        CheckpointError: if the file cannot be read, is refused, or holds no usable weights.
    """
    try:
        data = _read(path, max_bytes)
        kind = checkpoint_format(data)
        found = _parse(data, kind, max_bytes)
        notes = _notes(found)
        state = {name: _checked(name, tensor) for name, tensor in found.state.items()}
    except CheckpointError as error:
        raise CheckpointError(f"{printable(path, limit=200)} {error}.") from error
    digest = hashlib.sha256(data).hexdigest()
    return Checkpoint(path, digest, kind, state, found.wrapper, found.prefix, found.metadata, notes)


def _read(path: Path, max_bytes: int) -> bytes:
    if path.is_dir():
        raise CheckpointError("is a directory: give the checkpoint file inside it")
    if not path.exists():
        raise CheckpointError("does not exist: check the path")
    if not path.is_file():
        raise CheckpointError("is not a regular file: copy it into one")
    try:
        with path.open("rb") as file:
            too_large = os.fstat(file.fileno()).st_size > max_bytes
            data = b"" if too_large else file.read()
    except OSError as error:
        raise CheckpointError(
            f"cannot be read ({error.strerror}): check its permissions"
        ) from error
    if too_large:
        raise CheckpointError(f"is larger than the limit of {max_bytes / GIB:.3g} GiB")
    return data


def _parse(data: bytes, kind: str, max_bytes: int) -> Unwrapped:
    if kind == "torch-zip" and unpacked_bytes(data) > max_bytes:
        raise CheckpointError(f"unpacks to more than the limit of {max_bytes / GIB:.3g} GiB")
    found = _parse_safetensors(data) if kind == "safetensors" else unwrap(_parse_torch(data))
    # A view can claim far more elements than the file has bytes.
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in found.state.values())
    if claimed > max_bytes:
        raise CheckpointError(f"has tensors larger than the limit of {max_bytes / GIB:.3g} GiB")
    return found


def _parse_safetensors(data: bytes) -> Unwrapped:
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (safetensors.SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise CheckpointError(f"is a damaged safetensors file ({_brief(error)})") from error
    found = unwrap(tensors)
    metadata: Mapping[str, str] = header.get("__metadata__") or {}
    return Unwrapped(found.state, (), found.prefix, parsed_metadata(metadata), ())


def _parse_torch(data: bytes) -> object:
    try:
        with torch.serialization.safe_globals(_inert()), warnings.catch_warnings():
            # What a file makes torch warn of is said better when its tensors are checked.
            warnings.simplefilter("ignore")
            # The one place that may call it; weights_only refuses all code.
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)  # noqa: TID251
    except Exception as error:
        # A damaged or hostile pickle can make its reader raise anything.
        raise CheckpointError(_condensed(error)) from error


def _condensed(error: Exception) -> str:
    text = str(error)
    refused = re.search(r"GLOBAL (\S+)", text)
    if refused:
        return (
            f"refers to Python code ({printable(refused[1])}), as a file does that holds a whole "
            f"pickled network; that is not supported yet: {SAVE_STATE_DICT}"
        )
    if isinstance(error, BROKEN) or any(word in text.lower() for word in TRUNCATED):
        return DAMAGED
    return f"cannot be read without running code ({_brief(error)}): {SAVE_STATE_DICT}"


def _brief(error: Exception) -> str:
    text = str(error).partition("WeightsUnpickler error:")[2] or str(error)
    first = re.split(r"(?<=[.!?])\s|\n", text.strip())[0]
    return printable(f"{type(error).__name__}: {first}", limit=120)


def _checked(name: str, tensor: Tensor) -> Tensor:
    plain = tensor.detach()
    kinds = (
        ("sparse", plain.layout != torch.strided),
        ("quantised", plain.is_quantized),
        ("without data (meta)", plain.is_meta),
        ("complex", plain.is_complex()),
        ("nested", plain.is_nested),
    )
    for kind, holds in kinds:
        if holds:
            raise CheckpointError(
                f"has a tensor that is {kind}, {printable(name)!r}: save ordinary dense weights"
            )
    if not plain.is_floating_point():
        return plain
    plain = plain.float()
    # The extremes tell without a copy of the tensor.
    if plain.numel() and not torch.stack(plain.aminmax()).isfinite().all():
        wrong = int((~plain.isfinite()).sum())
        raise CheckpointError(
            f"has NaN or infinite weights: {wrong} of {plain.numel()} values of "
            f"{printable(name)!r}, the first such tensor; training diverged or the file is damaged"
        )
    return plain


def _notes(found: Unwrapped) -> tuple[str, ...]:
    notes = []
    if found.others:
        taken = printable(".".join(found.wrapper) or "the top level")
        rest = printable(", ".join(found.others))
        notes.append(f"The weights under {taken} were taken; the file also has some under {rest}.")
    types = {t.dtype for t in found.state.values() if t.is_floating_point()} - {torch.float32}
    if types:
        names = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in types))
        notes.append(f"Weights of type {names} were converted to float32.")
    return tuple(notes)

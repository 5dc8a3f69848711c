"""Tensors and one small value from one process to another, as safetensors and JSON only."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

TYPES = {
    torch.bool: "BOOL",
    **{getattr(torch, f"int{bits}"): f"I{bits}" for bits in (8, 16, 32, 64)},
    **{getattr(torch, f"uint{bits}"): f"U{bits}" for bits in (8, 16, 32, 64)},
    **{getattr(torch, f"float{bits}"): f"F{bits}" for bits in (16, 32, 64)},
    torch.bfloat16: "BF16",
}
ALIGNMENT = 8


@dataclass(frozen=True)
class Handed:
    """What one process gives to another.

    Args:
        tensors: name -> dense tensor on the CPU, of a type in ``TYPES``.
        value: anything that JSON can say, and small.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    value: Any = None


def leave(handed: Handed, path: str) -> None:
    """Write it where the other process will look, each tensor's bytes once and nowhere else."""
    # Names are numbered, for they may be anything.
    header: dict[str, object] = {
        "__metadata__": {
            "names": json.dumps(list(handed.tensors)),
            "value": json.dumps(handed.value),
        }
    }
    # Wide numbers first keep all of them aligned.
    ordered = sorted(enumerate(handed.tensors.values()), key=lambda pair: -pair[1].element_size())
    end = 0
    for index, tensor in ordered:
        start, end = end, end + tensor.nbytes
        form = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape)}
        header[str(index)] = {**form, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with open(path, "wb") as file:  # noqa: PTH123 - may be a descriptor's path
        file.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in ordered:
            file.write(_bytes(tensor))


def _bytes(tensor: Tensor) -> Any:
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy() if flat.numel() else b""


def found(path: str) -> Handed:
    """Take what another process left; its tensors are mapped, not copied.

    Raises:
        SafetensorError: or ``ValueError``, ``KeyError``, ``TypeError`` if it left anything else.
    """
    with safe_open(path, framework="pt") as file:
        texts = file.metadata()
        names, value = json.loads(texts["names"]), json.loads(texts["value"])
        tensors = {name: file.get_tensor(str(index)) for index, name in enumerate(names)}
    return Handed(tensors, value)

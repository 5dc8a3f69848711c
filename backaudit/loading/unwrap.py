"""Where in what was saved are the weights, and what plain facts lie beside them?"""

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable

PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "netC.", "network.", "backbone.", "encoder.")
# Under which names weights lie, the preferred first; averaged copies come last.
PREFERRED = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "netC",
    "network",
    "weights",
    "params",
)
AVERAGED = ("ema", "swa", "averag", "shadow")
SKIPPED = ("optim", "sched", "scaler")
DEEPEST = 6
LONGEST = 10_000
SHORT = 64

Path = tuple[str, ...]


@dataclass(frozen=True)
class Unwrapped:
    """Named tensors, found.

    Args:
        state: name -> tensor.
        wrapper: keys that lead to it.
        prefix: what was removed from the start of every name.
        metadata: plain values beside it.
        others: where else weights lay, dotted.
    """

    state: dict[str, Tensor]
    wrapper: Path
    prefix: str
    metadata: dict[str, object]
    others: tuple[str, ...]


def unwrap(saved: object) -> Unwrapped:
    """Find the weights in what was saved, prefer a network's own over averaged copies.

    Raises:
        CheckpointError: if there are no named weights.
    """
    found = dict(_states(saved, ()))
    if not found:
        raise CheckpointError(
            "holds no named weight tensors: save the state dict, "
            "torch.save(network.state_dict(), 'weights.pt')"
        )
    wrapper = min(found, key=lambda path: (_rank(path), -_size(found[path])))
    named = {name: tensor for name, tensor in found[wrapper].items() if isinstance(tensor, Tensor)}
    prefix = _shared_prefix(named)
    return Unwrapped(
        state={name.removeprefix(prefix): tensor for name, tensor in named.items()},
        wrapper=wrapper,
        prefix=prefix,
        metadata=_metadata(saved, wrapper),
        others=tuple(".".join(path) or "the top level" for path in found if path != wrapper),
    )


def _states(saved: object, path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    if isinstance(saved, list | tuple) and len(saved) == 1:
        yield from _states(saved[0], (*path, "0"))
    if not isinstance(saved, Mapping) or len(path) > DEEPEST:
        return
    if _is_state(saved):
        yield path, saved
        return
    for name, value in saved.items():
        if isinstance(name, str) and not any(word in name.lower() for word in SKIPPED):
            yield from _states(value, (*path, name))


def _is_state(saved: Mapping[Any, Any]) -> bool:
    tensors = [value for value in saved.values() if isinstance(value, Tensor)]
    named = all(isinstance(name, str) for name in saved)
    return named and 2 * len(tensors) > len(saved) and any(t.dim() >= 2 for t in tensors)


def _rank(path: Path) -> tuple[bool, int, int]:
    averaged = any(word in name.lower() for name in path for word in AVERAGED)
    places = [PREFERRED.index(name) for name in path if name in PREFERRED]
    return averaged, min(places, default=len(PREFERRED)), len(path)


def _size(state: Mapping[str, Any]) -> int:
    return sum(value.numel() for value in state.values() if isinstance(value, Tensor))


def _shared_prefix(state: Mapping[str, Tensor]) -> str:
    prefix = ""
    while True:
        more = next((p for p in PREFIXES if all(n.startswith(prefix + p) for n in state)), None)
        if more is None:
            return prefix
        prefix += more


def _metadata(saved: Any, wrapper: Path) -> dict[str, object]:
    """Plain values at every level down to the weights and among them, the innermost winning."""
    metadata: dict[str, object] = {}
    for step in wrapper:
        if isinstance(saved, Mapping):
            metadata |= _plain_values({k: value for k, value in saved.items() if k != step})
        saved = saved[step] if isinstance(saved, Mapping) else saved[0]
    among = {name: value for name, value in saved.items() if not isinstance(value, Tensor)}
    return metadata | _plain_values(among)


def _plain_values(beside: Mapping[Any, Any]) -> dict[str, object]:
    plain = {name: _plain(value) for name, value in beside.items() if isinstance(name, str)}
    return {printable(name): value for name, value in plain.items() if value is not None}


def _plain(value: object, depth: int = 0) -> Any:
    """A value made of strings, numbers, lists and dicts of them; None for anything else."""
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Tensor | np.ndarray):
        return _plain_array(value) if depth == 0 else None
    if depth > 1 or not isinstance(value, list | tuple | Mapping) or len(value) > LONGEST:
        return None
    if isinstance(value, Mapping):
        items = {name: _plain(item, depth + 1) for name, item in value.items()}
        named = {name: item for name, item in items.items() if isinstance(name, str | int)}
        return {name: item for name, item in named.items() if item is not None} or None
    listed = [_plain(item, depth + 1) for item in value]
    return None if None in listed else listed


def _plain_array(value: Tensor | np.ndarray[Any, Any]) -> Any:
    """The numbers of a scalar or a short vector, such as a mean; None for anything else."""
    if isinstance(value, Tensor) and (value.layout != torch.strided or value.is_meta):
        return None
    small = value.ndim <= 1 and 0 < len(value.reshape(-1)) <= SHORT
    return _plain(value.tolist(), depth=1) if small else None


def parsed_metadata(texts: Mapping[str, str]) -> dict[str, object]:
    """Metadata of a safetensors file, whose values are strings: those that are JSON are parsed."""
    return {printable(name): _from_json(text) for name, text in texts.items()}


def _from_json(text: str) -> object:
    try:
        value = _plain(json.loads(text))
    except (ValueError, RecursionError):
        return text
    return text if value is None else value

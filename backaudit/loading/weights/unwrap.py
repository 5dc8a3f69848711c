"""Where in what was saved are the weights, and what plain facts lie beside them?"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.pickles.modules import Part, is_module, module_state, module_tree
from backaudit.files.pickles.values import Inert
from backaudit.files.records import TensorRecord
from backaudit.loading.weights.beside import Keys, fields_of, follow, metadata_beside

PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "netC.", "network.", "backbone.", "encoder.")
# Under which names weights lie, the preferred first; averaged copies come last.
PREFERRED = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "netC",
    "network",
    "student",
    "weights",
    "params",
)
# Words with which the name of a copy begins, or goes on after a ``_``.
COPY = re.compile(r"(?:^|[_\W])(?:ema|swa|averag|shadow|teacher)|_averag", re.IGNORECASE)
INTEGERS = ("int", "uint", "bool")
SKIPPED = ("optim", "sched", "scaler")
DEEPEST = 6

Records = dict[str, TensorRecord]


@dataclass(frozen=True)
class Unwrapped:
    """Named tensors, found.

    Args:
        state: name -> tensor.
        wrapper: keys that lead to it.
        prefix: what was removed from the start of every name.
        metadata: plain values beside it.
        others: where else weights lay, dotted.
        module: every part of the network, if it was saved whole.
    """

    state: Records
    wrapper: Keys
    prefix: str
    metadata: dict[str, object]
    others: tuple[str, ...] = ()
    module: tuple[Part, ...] = ()


def unwrap(saved: object) -> Unwrapped:
    """Find the weights in what was saved, prefer a network's own over averaged copies.

    Args:
        saved: what a survey found: plain values, ``TensorRecord`` and ``Inert``.

    Raises:
        CheckpointError: if there are no named weights.
    """
    found = dict(_states(saved, (), set()))
    if not found:
        raise CheckpointError(
            "holds no named weight tensors: save the state dict, "
            "torch.save(network.state_dict(), 'weights.pt')"
        )
    wrapper = min(found, key=lambda path: (_rank(path), -_size(found[path])))
    elsewhere = [".".join(path) or "the top level" for path in found if path != wrapper]
    named, copies = _without_copies(found[wrapper])
    prefix = _shared_prefix(named)
    whole = follow(saved, wrapper)
    module = module_tree(whole) if is_module(whole) else ()
    _require_nothing_hidden(module, named)
    return Unwrapped(
        state={name.removeprefix(prefix): record for name, record in named.items()},
        wrapper=wrapper,
        prefix=prefix,
        metadata=metadata_beside(saved, wrapper),
        others=(*elsewhere, *(".".join((*wrapper, root)) for root in copies)),
        module=module,
    )


def _require_nothing_hidden(module: tuple[Part, ...], state: Records) -> None:
    """Refuse attributes that a network would use instead of the parameter or layer they hide."""
    known = {*state, *(part.path for part in module)}
    for part in module:
        for attribute in (*part.settings, *part.hooks, *part.others):
            name = f"{part.path}.{attribute}" if part.path else attribute
            if name in known:
                raise CheckpointError(
                    f"has a module in which something else hides {printable(name)!r}: it is "
                    "built to deceive"
                )


def _states(saved: object, path: Keys, seen: set[int]) -> Iterator[tuple[Keys, Records]]:
    if isinstance(saved, Inert):
        # Objects may lead back to one another.
        if id(saved) in seen:
            return
        seen.add(id(saved))
    if isinstance(saved, list | tuple) and len(saved) == 1:
        yield from _states(saved[0], (*path, "0"), seen)
    fields = module_state(saved) if is_module(saved) else fields_of(saved)
    if fields is None or len(path) > DEEPEST:
        return
    if _is_state(fields):
        yield path, {n: value for n, value in fields.items() if isinstance(value, TensorRecord)}
        return
    for name, value in fields.items():
        if isinstance(name, str) and not any(word in name.lower() for word in SKIPPED):
            yield from _states(value, (*path, name), seen)


def _is_state(saved: Mapping[Any, Any]) -> bool:
    records = [value for value in saved.values() if isinstance(value, TensorRecord)]
    named = all(isinstance(name, str) for name in saved)
    return named and 2 * len(records) > len(saved) and _has_weights(records)


def _has_weights(records: list[TensorRecord]) -> bool:
    # What cannot be used is found here too, so that it is refused by its name.
    return any(
        record.trouble or (record.dim() >= 2 and not record.dtype.startswith(INTEGERS))
        for record in records
    )


def _rank(path: Keys) -> tuple[bool, int, int]:
    copied = any(COPY.search(name) for name in path)
    places = [PREFERRED.index(name) for name in path if name in PREFERRED]
    return copied, min(places, default=len(PREFERRED)), len(path)


def _size(state: Records) -> int:
    return sum(record.numel() for record in state.values())


def _without_copies(state: Records) -> tuple[Records, tuple[str, ...]]:
    """Leave out averaged copies that lie among the names, and say under which first names."""
    copied = {name: record for name, record in state.items() if COPY.search(name.partition(".")[0])}
    own = {name: record for name, record in state.items() if name not in copied}
    if not copied or not _has_weights(list(own.values())):
        return state, ()
    roots = {name.partition(".")[0] for name, record in copied.items() if record.dim()}
    return own, tuple(sorted(roots))


def _shared_prefix(state: Records) -> str:
    prefix = ""
    while True:
        more = next((p for p in PREFIXES if all(n.startswith(prefix + p) for n in state)), None)
        if more is None:
            return prefix
        prefix += more

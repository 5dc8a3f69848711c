"""Where layers and tensors of a program go in a network, under names that cannot do harm."""

import keyword
import re
from collections.abc import Iterable

from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable

OWN = frozenset(dir(nn.Module())) | {"forward", "graph", "code"}
DEEPEST = 64
LONGEST = 1000


class Paths:
    """Hands out dotted paths, each once.

    Args:
        reserved: names of all tensors that a file holds.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._tensors: dict[str, str] = {}
        self._taken: set[str] = set()
        self._layers: set[str] = set()
        for name in reserved:
            self.tensor(name)

    def tensor(self, name: str) -> str:
        """The path of the tensor that the file calls ``name``."""
        if name not in self._tensors:
            self._tensors[name] = self._free(safe_path(name))
        return self._tensors[name]

    def layer(self, name: str) -> str:
        """A path for a new layer, ``name`` if that is free."""
        path = safe_path(name)
        steps = path.split(".")
        within = any(".".join(steps[:end]) in self._taken for end in range(1, len(steps)))
        path = self._free(path.replace(".", "_") if within and not self._inside(steps) else path)
        self._layers.add(path)
        return path

    def _inside(self, steps: list[str]) -> bool:
        return all(
            ".".join(steps[:end]) in self._layers or ".".join(steps[:end]) not in self._taken
            for end in range(1, len(steps))
        )

    def _free(self, path: str) -> str:
        candidate, number = path, 0
        while candidate in self._taken:
            number += 1
            candidate = f"{path}_{number}"
        self._taken.add(candidate)
        return candidate


def safe_path(name: str) -> str:
    """A dotted path of plain identifiers and numbers: fx writes Python code with it."""
    steps = name[:LONGEST].split(".")[:DEEPEST]
    return ".".join(_safe_step(step) for step in steps)


def _safe_step(step: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_]", "_", step) or "_"
    if plain in OWN or keyword.iskeyword(plain) or plain.startswith("__"):
        return f"at_{plain}"
    return plain


def place(root: nn.Module, path: str, value: nn.Module | Tensor) -> None:
    """Put a layer, a parameter or a buffer at a dotted path, making the modules on the way.

    Raises:
        CheckpointError: if something else lies on the way.
    """
    *parents, last = path.split(".")
    at = root
    for step in parents:
        below = getattr(at, step, None)
        if below is None:
            below = nn.Module()
            at.add_module(step, below)
        if not isinstance(below, nn.Module):
            raise CheckpointError(f"has a tensor and a layer at {printable(path)}")
        at = below
    there = getattr(at, last, None)
    if there is None or there is value or type(there) is nn.Module:
        _put(at, last, value, there)
    else:
        raise CheckpointError(f"has two things at {printable(path)}")


def _put(at: nn.Module, name: str, value: nn.Module | Tensor, there: object) -> None:
    if isinstance(value, nn.Module):
        if isinstance(there, nn.Module) and there is not value:
            for child, module in there.named_children():
                value.add_module(child, module)
        at.add_module(name, value)
    elif isinstance(value, nn.Parameter):
        at.register_parameter(name, value)
    else:
        at.register_buffer(name, value)

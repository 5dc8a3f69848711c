"""Whole pickled ``nn.Module`` objects: their parameters and parts, without their classes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from backaudit.core.errors import CheckpointError
from backaudit.files.pickles.globals import TORCHSCRIPT
from backaudit.files.pickles.known_names import DTYPES
from backaudit.files.pickles.values import Inert, Reference
from backaudit.files.records import TensorRecord

DEEPEST = 64
MOST_MODULES = 100_000
# Of all modules together, each counted as often as it occurs.
MOST_ATTRIBUTES = 300_000
LONGEST_PATH = 1000
DEEPEST_SETTING = 3
LONGEST_SETTING = 1000
TABLES = ("_parameters", "_buffers", "_modules")
# What every module keeps beside its tables; "hooks" among them is code if it is not empty.
BOOKKEEPING = frozenset({*TABLES, "training", "_non_persistent_buffers_set", "_backend"}) | {
    "_is_full_backward_hook",
    "_version",
}


@dataclass(frozen=True)
class Part:
    """One module of the tree.

    Args:
        path: as in ``named_modules``: "" for the root, else dotted.
        kind: its class.
        settings: plain attributes: ``kernel_size``, ``stride``, ``eps``, ``inplace`` ...
        hooks: names of attributes that hold code: hooks, functions, classes, replaced methods.
        others: names of attributes that are neither: tensors outside the tables and objects.
    """

    path: str
    kind: Reference
    settings: dict[str, object] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def is_module(value: object) -> bool:
    """Whether a value stands for a pickled ``nn.Module`` or an object of TorchScript."""
    return isinstance(value, Inert) and (_is_eager(value) or _is_script(value))


def _is_eager(value: Inert) -> bool:
    state = _attributes(value)
    return all(isinstance(state.get(table), dict) for table in TABLES)


def _is_script(value: Inert) -> bool:
    return value.of.module.startswith(TORCHSCRIPT) and isinstance(value.state, dict)


def _attributes(value: Inert) -> dict[Any, Any]:
    # A class with slots has a pair here: its dict and its slots.
    state = value.state[0] if isinstance(value.state, tuple) and value.state else value.state
    return state if isinstance(state, dict) else {}


def module_state(value: object) -> dict[str, TensorRecord]:
    """Tensors of a pickled module as ``state_dict()`` would name and order them.

    Tensors that several names share are under each of them; buffers that are not persistent are
    left out.

    Raises:
        CheckpointError: if it is no tree of modules, or names two tensors alike.
    """
    found: dict[str, TensorRecord] = {}
    for path, module in _walk(value):
        for name, tensor in _tensors(module):
            full = f"{path}.{name}" if path else name
            if full in found:
                raise CheckpointError("has a module with two tensors of one name: do not use it")
            found[full] = tensor
    return found


def _tensors(module: Inert) -> Iterator[tuple[str, TensorRecord]]:
    state = _attributes(module)
    if not _is_eager(module):
        yield from _named(state)
        return
    listed = state.get("_non_persistent_buffers_set")
    transient = listed if isinstance(listed, set | frozenset | list) else ()
    yield from _named(state["_parameters"])
    yield from ((name, item) for name, item in _named(state["_buffers"]) if name not in transient)


def _named(table: dict[Any, Any]) -> Iterator[tuple[str, TensorRecord]]:
    for name, item in table.items():
        if isinstance(item, TensorRecord):
            if not isinstance(name, str):
                raise CheckpointError("has a module whose tensors have no names: do not use it")
            yield name, item


def module_tree(value: object) -> tuple[Part, ...]:
    """Every module, each before its children, in the order of ``named_modules``.

    Unlike there, a module that occurs under several paths is listed under each.

    Raises:
        CheckpointError: if it is no tree of modules.
    """
    return tuple(_part(path, module) for path, module in _walk(value))


def _walk(value: object) -> Iterator[tuple[str, Inert]]:
    if not isinstance(value, Inert):
        raise CheckpointError("holds no module where one was expected")
    waiting = [("", value, 0)]
    attributes = 0
    for _ in range(MOST_MODULES):
        if not waiting:
            return
        path, module, depth = waiting.pop()
        attributes += _amount(module)
        if len(path) > LONGEST_PATH or attributes > MOST_ATTRIBUTES:
            raise CheckpointError("has modules that contain one another too often: do not use it")
        yield path, module
        if depth == DEEPEST:
            break
        children = [
            (f"{path}.{name}" if path else name, child, depth + 1)
            for name, child in _children(module)
        ]
        waiting.extend(reversed(children))
    if waiting or depth == DEEPEST:
        raise CheckpointError("has modules that contain one another without end: do not use it")


def _amount(module: Inert) -> int:
    """Attributes, tensors and children of a module."""
    state = _attributes(module)
    tables = (state.get(table) for table in TABLES)
    return len(state) + sum(len(table) for table in tables if isinstance(table, dict))


def _children(module: Inert) -> Iterator[tuple[str, Inert]]:
    state = _attributes(module)
    for name, child in (state["_modules"] if _is_eager(module) else state).items():
        if is_module(child):
            if not isinstance(name, str):
                raise CheckpointError("has a module whose parts have no names: do not use it")
            yield name, child


def _part(path: str, module: Inert) -> Part:
    settings: dict[str, object] = {}
    hooks: list[str] = []
    others: list[str] = []
    for name, value in _attributes(module).items():
        if name in BOOKKEEPING or _registered(module, value):
            continue
        plain, setting = _setting(value)
        if not isinstance(name, str) or (name.endswith("hooks") and value):
            hooks.append(str(name))
        elif _is_code(value):
            hooks.append(name)
        elif not plain:
            others.append(name)
        elif not name.startswith("_"):
            settings[name] = setting
    return Part(path, module.of, settings, tuple(hooks), tuple(others))


def _registered(module: Inert, value: object) -> bool:
    """Whether an attribute of a TorchScript object is a tensor or a child."""
    return not _is_eager(module) and (isinstance(value, TensorRecord) or is_module(value))


def _is_code(value: object) -> bool:
    if isinstance(value, Reference):
        return not _is_dtype(value)
    if isinstance(value, Inert):
        return value.of == Reference("functools", "partial")
    return isinstance(value, list | tuple) and any(isinstance(item, Reference) for item in value)


def _is_dtype(value: Reference) -> bool:
    return value.module == "torch" and value.name in DTYPES


def _setting(value: object, depth: int = 0) -> tuple[bool, object]:
    """Whether a value is made of plain ones, and what it is then."""
    if value is None or isinstance(value, bool | int | float | str):
        return True, value
    if isinstance(value, Reference) and _is_dtype(value):
        return True, str(value)
    too_much = depth == DEEPEST_SETTING or not isinstance(value, list | tuple | dict)
    if too_much or len(value) > LONGEST_SETTING:  # type: ignore[arg-type]
        return False, None
    return _container(value, depth + 1)


def _container(value: object, depth: int) -> tuple[bool, object]:
    if isinstance(value, dict):
        pairs = {name: _setting(item, depth) for name, item in value.items()}
        return all(plain for plain, _ in pairs.values()) and all(
            isinstance(name, str | int) for name in pairs
        ), {name: item for name, (_, item) in pairs.items()}
    assert isinstance(value, list | tuple)  # noqa: S101 - nothing else comes here
    items = [_setting(item, depth) for item in value]
    made = [item for _, item in items]
    plain = all(plain for plain, _ in items)
    return plain, tuple(made) if isinstance(value, tuple) else made

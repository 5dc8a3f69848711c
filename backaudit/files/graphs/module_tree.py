"""The modules of a TorchScript archive: which tensors they hold, under which names."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.graphs.script_program import ScriptObject, TensorName
from backaudit.files.pickles.values import Inert
from backaudit.files.records import TensorRecord

DEEPEST = 100
LONGEST_PATH = 1000
RESTORES = "__setstate__"


def registered(trees: Mapping[str, ast.Module]) -> dict[str, tuple[str, ...]]:
    """Parameters, then buffers, of each class by its qualified name.

    ``__setstate__`` stands for all of them where running that would restore an object.
    """
    found = {}
    for path, tree in trees.items():
        module = path.removesuffix(".py").replace("/", ".")
        for statement in tree.body:
            if isinstance(statement, ast.ClassDef):
                names = _listed(statement, "__parameters__") + _listed(statement, "__buffers__")
                restored = any(
                    isinstance(each, ast.FunctionDef) and each.name == RESTORES
                    for each in statement.body
                )
                found[f"{module}.{statement.name}"] = (RESTORES,) if restored else names
    return found


def _listed(definition: ast.ClassDef, field_name: str) -> tuple[str, ...]:
    for statement in definition.body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.List):
            continue
        if [ast.unparse(target) for target in statement.targets] == [field_name]:
            items = [item.value for item in statement.value.elts if isinstance(item, ast.Constant)]
            return tuple(item for item in items if isinstance(item, str))
    return ()


@dataclass
class ModuleTree:
    """The module tree being walked.

    Args:
        registered: parameters and buffers of each class.
        ordered: registered tensors by name.
        others: tensors that are only attributes, and constants, by name.
    """

    registered: Mapping[str, tuple[str, ...]]
    ordered: dict[str, TensorRecord] = field(default_factory=dict)
    others: dict[str, TensorRecord] = field(default_factory=dict)
    _modules: dict[int, ScriptObject | None] = field(default_factory=dict)
    _names: dict[tuple[object, ...], str] = field(default_factory=dict)

    def in_order(self) -> dict[str, TensorRecord]:
        """All tensors: those of the state dict first."""
        return self.ordered | {
            name: record for name, record in self.others.items() if name not in self.ordered
        }

    def module(self, made: object, path: str, depth: int) -> object:
        """A module, with names in place of its tensors; others as ``value`` has them."""
        if not isinstance(made, Inert):
            return self.value(made, path, depth)
        if id(made) in self._modules:
            known = self._modules[id(made)]
            if known is None:
                raise CheckpointError("holds a module that holds itself")
            return known
        kind = str(made.of)
        restored = RESTORES in self.registered.get(kind, ())
        if restored or not isinstance(made.state, dict) or not kind.startswith("__torch__"):
            raise CheckpointError(
                f"holds an object of class {printable(kind)} that only running its code would "
                "restore: save the state dict"
            )
        self._modules[id(made)] = None
        attributes = self._attributes(kind, made.state, path, depth)
        self._modules[id(made)] = ScriptObject(kind, attributes)
        return self._modules[id(made)]

    def _attributes(
        self, kind: str, state: Mapping[object, object], path: str, depth: int
    ) -> dict[str, object]:
        named = {name: value for name, value in state.items() if isinstance(name, str)}
        first = [name for name in self.registered.get(kind, ()) if name in named]
        attributes = {}
        for name in first:
            below = _joined(path, name)
            value = named[name]
            if isinstance(value, TensorRecord):
                self.ordered[below] = value
            attributes[name] = self.value(value, below, depth)
        for name, value in named.items():
            if name not in attributes:
                attributes[name] = self.module(value, _joined(path, name), depth + 1)
        return {name: attributes[name] for name in named}

    def value(self, value: object, path: str, depth: int) -> object:
        """A plain value, with names in place of tensors."""
        if depth > DEEPEST:
            raise CheckpointError("holds values too deep within one another")
        if isinstance(value, TensorRecord):
            return TensorName(self._named(value, path))
        if isinstance(value, Inert):
            return self.module(value, path, depth + 1)
        return self._gathered(value, path, depth)

    def _gathered(self, value: object, path: str, depth: int) -> object:
        if isinstance(value, list | tuple):
            items = [
                self.value(each, _joined(path, str(at)), depth + 1) for at, each in enumerate(value)
            ]
            return tuple(items) if isinstance(value, tuple) else items
        if isinstance(value, dict):
            return {
                key: self.value(each, _joined(path, printable(key)), depth + 1)
                for key, each in value.items()
            }
        return value

    def _named(self, record: TensorRecord, path: str) -> str:
        """The first name of a tensor; two attributes may share one."""
        same = (id(record.storage), record.offset, record.shape, record.stride, record.dtype)
        name = self._names.setdefault(same, path)
        if name == path:
            self.others[name] = record
        return name


def _joined(path: str, name: str) -> str:
    if len(path) + len(name) > LONGEST_PATH:
        raise CheckpointError("holds names that are longer than those of any network")
    return f"{path}.{name}" if path else name

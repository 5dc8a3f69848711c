"""Finding functions and classes in a program's source text."""

import ast
from collections.abc import Mapping

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.graphs.script_check import parsed

Function = ast.FunctionDef


class Sources:
    """Text, parsed when it is first needed.

    Args:
        texts: by path, such as ``__torch__/torch/nn/modules/conv.py``.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._parsed: dict[str, dict[str, ast.stmt]] = {}

    def function(self, qualified: str) -> Function:
        """A function by its qualified name.

        Raises:
            CheckpointError: if there is none.
        """
        found = self._find(qualified)
        if not isinstance(found, ast.FunctionDef):
            raise _lacking(qualified)
        return found

    def method(self, kind: str, name: str) -> Function:
        """A method of a class.

        Raises:
            CheckpointError: if there is none.
        """
        found = self._find(kind)
        body = found.body if isinstance(found, ast.ClassDef) else []
        for statement in body:
            if isinstance(statement, ast.FunctionDef) and statement.name == name:
                return statement
        raise _lacking(f"{kind}.{name}")

    def is_named_tuple(self, qualified: str) -> bool:
        """Whether a name is that of a class of tuples."""
        found = self._find(qualified)
        bases = found.bases if isinstance(found, ast.ClassDef) else []
        return any(isinstance(base, ast.Name) and base.id == "NamedTuple" for base in bases)

    def _find(self, qualified: str) -> ast.stmt | None:
        module, _, name = qualified.rpartition(".")
        path = module.replace(".", "/") + ".py"
        if path not in self._texts:
            return None
        if path not in self._parsed:
            self._parsed[path] = _definitions(self._texts[path])
        return self._parsed[path].get(name)


def _definitions(text: str) -> dict[str, ast.stmt]:
    tree = parsed(text)
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {statement.name: statement for statement in tree.body if isinstance(statement, kinds)}


def _lacking(name: str) -> CheckpointError:
    return CheckpointError(f"holds a program that calls {printable(name)}, which it lacks")

"""Calls of a program's functions, methods and operators, with one image in hand."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.graphs.script_program import ScriptObject, ScriptProgram, TensorName
from backaudit.programs.graph import Recorder, stored_as
from backaudit.programs.operators import apply, unsupported
from backaudit.programs.scripts.prims import PRIMS, QUESTIONS
from backaudit.programs.scripts.scalars import (
    ALWAYS_PLAIN,
    SCALARS,
    as_number,
    compute,
    is_tensor,
)
from backaudit.programs.scripts.sources import Function, Sources
from backaudit.programs.scripts.syntax import Returned, Scope

DEEPEST = 40
MOST_STEPS = 2_000_000


class Evaluator:
    """A program at work.

    Args:
        program: as read.
        state: tensors by name.
        recorder: of the graph.
    """

    def __init__(
        self, program: ScriptProgram, state: Mapping[str, Tensor], recorder: Recorder
    ) -> None:
        self.sources = Sources(program.sources)
        self.constants = program.constants
        self.state = state
        self.recorder = recorder
        self._depth = 0
        self._steps = 0

    def method(
        self, owner: ScriptObject, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """What a method returns."""
        function = self.sources.method(owner.kind, name)
        return self._run(function, (owner, *args), kwargs)

    def _run(self, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self._depth += 1
        if self._depth > DEEPEST:
            raise CheckpointError("holds a program that calls functions too deeply")
        scope = Scope(self, self._bound(function, args, kwargs))
        try:
            scope.block(function.body)
        except Returned as returned:
            return returned.value
        finally:
            self._depth -= 1
        return None

    def _bound(
        self, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        names = [each.arg for each in function.args.args]
        defaults = function.args.defaults
        empty = Scope(self, {})
        given = {
            name: empty.value(default)
            for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True)
        }
        given |= {**dict(zip(names, args, strict=False)), **kwargs}
        if len(args) > len(names) or set(given) != set(names):
            raise CheckpointError(
                f"calls {printable(function.name)} with arguments that do not fit it"
            )
        return given

    def step(self) -> None:
        """Count a statement."""
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise CheckpointError("holds a program that takes longer than any network needs")

    def attribute(self, owner: Any, name: str) -> Any:
        """A module's attribute; no module is in training."""
        if not isinstance(owner, ScriptObject):
            raise CheckpointError(f"asks for {printable(name)} of what is no module")
        if name == "training":
            return False
        if name not in owner.attributes:
            raise CheckpointError(
                f"asks for {printable(name)}, which {printable(owner.kind)} lacks"
            )
        return self.known(owner.attributes[name])

    def known(self, value: Any) -> Any:
        """A stored value, with nodes in place of tensors' names."""
        if isinstance(value, TensorName):
            return stored_as(self.recorder, self.state, value.name)
        if isinstance(value, list | tuple):
            return type(value)([self.known(each) for each in value])
        if isinstance(value, dict):
            return {key: self.known(each) for key, each in value.items()}
        return value

    def constant(self, name: str) -> Any:
        """One of ``CONSTANTS``."""
        number = name.removeprefix("c")
        if not number.isdecimal() or int(number) >= len(self.constants):
            raise CheckpointError(f"uses a constant {printable(name)} that it lacks")
        return self.known(self.constants[int(number)])

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """What a function of a qualified name returns."""
        space, _, last = name.rpartition(".")
        if space in ("torch", "ops.aten"):
            return self._operator(last, args, kwargs)
        if space == "ops.prim" and last in PRIMS:
            return PRIMS[last](self.recorder, *args)
        if name.startswith("__torch__."):
            if self.sources.is_named_tuple(name):
                return tuple(args)
            return self._run(self.sources.function(name), args, kwargs)
        raise unsupported(name.replace(".", "::"))

    def _operator(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if name in QUESTIONS:
            return QUESTIONS[name](self.recorder, *args)
        if name in ALWAYS_PLAIN or (name in SCALARS and self._is_plain(args)):
            plain = [as_number(arg) for arg in args] if len(args) < 4 else args
            return compute(self.recorder, name, plain, kwargs)
        if name == "len" and is_tensor(args[0]):
            return apply(self.recorder, "size", [args[0], 0], {})
        return apply(self.recorder, name, args, kwargs)

    def _is_plain(self, args: list[Any]) -> bool:
        tensors = [arg for arg in args if is_tensor(arg)]
        if not tensors or isinstance(args[0], list | dict | tuple) or None in args:
            return True
        numbers = [arg for arg in args if not is_tensor(arg)]
        return bool(numbers) and all(not is_tensor(as_number(arg)) for arg in tensors)

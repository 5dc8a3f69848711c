"""A program's statements and expressions, followed one by one.

Which way a program goes is decided by plain values and by sizes, once. Nothing of the source text
is compiled or run: its syntax tree is walked, and what is not known is refused by name.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from backaudit.core.errors import CheckpointError
from backaudit.files.graphs.script_program import ScriptObject
from backaudit.programs.graph import MisfitError, Node, Recorder
from backaudit.programs.scripts.scalars import as_number, compute, is_tensor

BATCH_DECISION = "decides by the number of images in a batch or their size"
IMAGE_DECISION = "decides by what is in an image, which is not supported"
NUMBERS = {"inf": float("inf"), "nan": float("nan")}


class Caller(Protocol):
    """What statements ask of the program that they are part of."""

    recorder: Recorder

    def step(self) -> None:
        """Count a step."""

    def attribute(self, owner: Any, name: str) -> Any:
        """A module's attribute."""

    def constant(self, name: str) -> Any:
        """One of ``CONSTANTS``."""

    def method(
        self, owner: ScriptObject, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """What a method returns."""

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """What a function of a qualified name returns."""


@dataclass(frozen=True)
class Qualified:
    """A dotted name that stands for a function or a class."""

    name: str


class Returned(Exception):  # noqa: N818 - how a function's body is left
    """Carries what a function returns."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Scope:
    """The variables of one call.

    Args:
        evaluator: of the program.
        names: arguments to begin with.
    """

    def __init__(self, evaluator: Caller, names: dict[str, Any]) -> None:
        self.of = evaluator
        self.names = names

    def block(self, statements: Sequence[ast.stmt]) -> None:
        """Follow statements in order."""
        for statement in statements:
            self.of.step()
            follow = STATEMENTS.get(type(statement))
            if follow is None:
                raise _unknown(statement)
            follow(self, statement)

    def value(self, expression: ast.expr) -> Any:
        """What an expression is."""
        self.of.step()
        evaluate = EXPRESSIONS.get(type(expression))
        if evaluate is None:
            raise _unknown(expression)
        return evaluate(self, expression)

    def decided(self, expression: ast.expr) -> bool:
        """Which way to go."""
        value = as_number(self.value(expression))
        if isinstance(value, Node):
            raise MisfitError(IMAGE_DECISION if is_tensor(value) else BATCH_DECISION)
        return bool(value)


def _assign(scope: Scope, statement: ast.Assign) -> None:
    value = scope.value(statement.value)
    for target in statement.targets:
        _set(scope, target, value)


def _assign_typed(scope: Scope, statement: ast.AnnAssign) -> None:
    if statement.value is not None:
        _set(scope, statement.target, scope.value(statement.value))


def _set(scope: Scope, target: ast.expr, value: Any) -> None:
    if isinstance(target, ast.Name):
        scope.names[target.id] = value
    elif isinstance(target, ast.Tuple | ast.List):
        if not isinstance(value, list | tuple) or len(value) != len(target.elts):
            raise CheckpointError("unpacks another number of values than there are")
        for each, part in zip(target.elts, value, strict=True):
            _set(scope, each, part)
    else:
        raise CheckpointError("changes its own attributes while it runs, which is not supported")


def _if(scope: Scope, statement: ast.If) -> None:
    scope.block(statement.body if scope.decided(statement.test) else statement.orelse)


def _for(scope: Scope, statement: ast.For) -> None:
    values = scope.value(statement.iter)
    if not isinstance(values, list | tuple | range):
        raise MisfitError(f"repeats a step for each of what is no list, or {BATCH_DECISION}")
    for value in values:
        _set(scope, statement.target, value)
        scope.block(statement.body)


def _while(scope: Scope, statement: ast.While) -> None:
    while scope.decided(statement.test):
        scope.block(statement.body)


def _return(scope: Scope, statement: ast.Return) -> None:
    raise Returned(None if statement.value is None else scope.value(statement.value))


def _expression(scope: Scope, statement: ast.Expr) -> None:
    scope.value(statement.value)


def _pass(_: Scope, __: ast.stmt) -> None:
    pass


def _name(scope: Scope, expression: ast.Name) -> Any:
    if expression.id in scope.names:
        return scope.names[expression.id]
    return NUMBERS.get(expression.id, Qualified(expression.id))


def _attribute(scope: Scope, expression: ast.Attribute) -> Any:
    owner = scope.value(expression.value)
    if not isinstance(owner, Qualified):
        return scope.of.attribute(owner, expression.attr)
    if owner.name == "CONSTANTS":
        return scope.of.constant(expression.attr)
    return Qualified(f"{owner.name}.{expression.attr}")


def _subscript(scope: Scope, expression: ast.Subscript) -> Any:
    values, at = scope.value(expression.value), as_number(scope.value(expression.slice))
    try:
        return values[at]
    except (TypeError, IndexError, KeyError) as error:
        raise CheckpointError("takes an item that a list lacks") from error


def _minus(scope: Scope, expression: ast.UnaryOp) -> Any:
    value = scope.value(expression.operand)
    name = "neg" if isinstance(expression.op, ast.USub) else "__not__"
    return compute(scope.of.recorder, name, [value], {})


def _choice(scope: Scope, expression: ast.IfExp) -> Any:
    return scope.value(expression.body if scope.decided(expression.test) else expression.orelse)


def _dict(scope: Scope, expression: ast.Dict) -> dict[Any, Any]:
    keys = [scope.value(key) for key in expression.keys if key is not None]
    return dict(zip(keys, map(scope.value, expression.values), strict=True))


def _call(scope: Scope, expression: ast.Call) -> Any:
    function = expression.func
    if isinstance(function, ast.Name) and function.id in BUILTINS:
        return BUILTINS[function.id](scope, expression.args)
    args = [scope.value(arg) for arg in expression.args]
    kwargs = {each.arg: scope.value(each.value) for each in expression.keywords if each.arg}
    if isinstance(function, ast.Attribute):
        owner = scope.value(function.value)
        if isinstance(owner, ScriptObject):
            return scope.of.method(owner, function.attr, args, kwargs)
    called = scope.value(function)
    if not isinstance(called, Qualified):
        raise CheckpointError("calls what is no function")
    return scope.of.call(called.name, args, kwargs)


def _unknown(node: ast.AST) -> CheckpointError:
    kind = type(node).__name__
    return CheckpointError(f"holds a program with a construct that is not supported ({kind})")


def _second(scope: Scope, args: list[ast.expr]) -> Any:
    return scope.value(args[1])


def _got(scope: Scope, args: list[ast.expr]) -> Any:
    return scope.of.attribute(scope.value(args[0]), scope.value(args[1]))


def _number(kind: Callable[[Any], Any]) -> Callable[[Scope, list[ast.expr]], Any]:
    def converted(scope: Scope, args: list[ast.expr]) -> Any:
        value = as_number(scope.value(args[0]))
        if is_tensor(value):
            raise CheckpointError(IMAGE_DECISION)
        return scope.of.recorder.call(kind, value)

    return converted


def _range(scope: Scope, args: list[ast.expr]) -> Any:
    numbers = [as_number(scope.value(arg)) for arg in args]
    if not all(isinstance(number, int) for number in numbers):
        raise MisfitError(BATCH_DECISION)
    return range(*numbers)


def _listed(scope: Scope, args: list[ast.expr]) -> list[Any]:
    return list(scope.value(args[0]))


BUILTINS: dict[str, Callable[[Scope, list[ast.expr]], Any]] = {
    "annotate": _second,
    "unchecked_cast": _second,
    "uninitialized": lambda *_: None,
    "getattr": _got,
    "int": _number(int),
    "float": _number(float),
    "bool": _number(bool),
    "str": _number(str),
    "range": _range,
    "list": _listed,
    "print": lambda *_: None,
}
STATEMENTS: dict[type[ast.stmt], Callable[[Scope, Any], None]] = {
    ast.Assign: _assign,
    ast.AnnAssign: _assign_typed,
    ast.If: _if,
    ast.For: _for,
    ast.While: _while,
    ast.Return: _return,
    ast.Expr: _expression,
    ast.Pass: _pass,
}
EXPRESSIONS: dict[type[ast.expr], Callable[[Scope, Any], Any]] = {
    ast.Constant: lambda _, expression: expression.value,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.UnaryOp: _minus,
    ast.IfExp: _choice,
    ast.Tuple: lambda scope, expression: tuple(map(scope.value, expression.elts)),
    ast.List: lambda scope, expression: [scope.value(each) for each in expression.elts],
    ast.Dict: _dict,
    ast.Call: _call,
}

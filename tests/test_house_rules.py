"""Rules of the house that no linter checks."""

import ast
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path

import backaudit

PACKAGE = Path(backaudit.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted(Path(__file__).parent.rglob("*.py"))
LONGEST_FILE = 300
LONGEST_FUNCTION = 45
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text("utf-8"))))


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """What each call calls and with what, as it is written."""
    for node in nodes(path):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), ", ".join(map(ast.unparse, node.args))


def files_that_call(pattern: str, arguments: str = "") -> set[str]:
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in SOURCES
        for called, given in calls(path)
        if re.fullmatch(pattern, called) and re.search(arguments, given)
    }


def test_calls_are_seen() -> None:
    assert len(SOURCES) > 50
    assert files_that_call(r"torch\.autograd\.grad") >= {"nets/noise.py", "detectors/mm_bd.py"}
    assert files_that_call(r".*\.unbind", r"1") >= {"detectors/ban.py"}


def test_nothing_chooses_a_device_for_the_caller() -> None:
    assert files_that_call(r".*\.cuda") == set()


def test_only_one_file_holds_a_training_loop() -> None:
    assert files_that_call(r".*\.backward") == {"nets/training.py"}
    assert files_that_call(r"torch\.optim\..*", r"parameters\(\)") == {"nets/training.py"}


def test_only_one_file_unpickles_and_nothing_read_is_run() -> None:
    assert files_that_call(r"torch\.load") == {"loading/weights/weights_only.py"}
    assert files_that_call(r"(pickle\.loads?|eval|exec|__import__)") == set()


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in SOURCES + TESTS}
    assert {path.name: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_short() -> None:
    long = [
        f"{path.name}: {node.name}"
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef) and length_of(node) > LONGEST_FUNCTION
    ]
    assert long == []


def length_of(function: ast.FunctionDef) -> int:
    """Lines after the docstring."""
    first = function.body[1 if ast.get_docstring(function) and len(function.body) > 1 else 0]
    return (function.end_lineno or 0) - first.lineno + 1


def test_no_file_is_unfinished() -> None:
    comments = [
        f"{path.name}: {token.string}"
        for path in SOURCES + TESTS
        for token in tokenize.generate_tokens(StringIO(path.read_text("utf-8")).readline)
        if token.type == tokenize.COMMENT
    ]
    assert [comment for comment in comments if UNFINISHED.search(comment)] == []


def test_every_folder_of_sources_is_a_package() -> None:
    assert {path.parent for path in SOURCES if not (path.parent / "__init__.py").exists()} == set()

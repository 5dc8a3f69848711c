import ast
import inspect
import subprocess
import sys
from importlib import import_module

import pytest

import backaudit


def test_all_is_sorted_and_without_repetition() -> None:
    upper = [name for name in backaudit.__all__ if name.isupper()]
    camel = [name for name in backaudit.__all__ if name[0].isupper() and not name.isupper()]
    lower = [name for name in backaudit.__all__ if name[0].islower()]
    assert backaudit.__all__ == sorted(upper) + sorted(camel) + sorted(lower)
    assert len(set(backaudit.__all__)) == len(backaudit.__all__)


@pytest.mark.parametrize("name", backaudit.__all__)
def test_every_public_name_can_be_imported_and_is_documented(name: str) -> None:
    exported = getattr(backaudit, name)
    if inspect.isclass(exported) or inspect.isfunction(exported):
        assert inspect.getdoc(exported)
        assert getattr(import_module(exported.__module__), name) is exported


def test_type_checkers_see_exactly_what_is_exported() -> None:
    module = ast.parse(inspect.getsource(backaudit))
    imported = [
        alias.name
        for block in module.body
        if isinstance(block, ast.If)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    ]
    assert sorted(imported) == sorted(backaudit.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'is_safe'"):
        backaudit.is_safe  # noqa: B018


def test_importing_the_package_imports_no_torch() -> None:
    code = "import backaudit, sys; assert set(backaudit.__all__) <= set(dir(backaudit)); "
    code += "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603

import tomllib
from pathlib import Path

import pytest

import backaudit

PACKAGE = Path(backaudit.__file__).parent
PROJECT = PACKAGE.parent / "pyproject.toml"

linter = pytest.importorskip("importlinter.cli")


def contracts() -> dict[str, dict[str, list[str]]]:
    settings = tomllib.loads(PROJECT.read_text("utf-8"))["tool"]["importlinter"]
    return {contract["type"]: contract for contract in settings["contracts"]}


def test_imports_point_downwards(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(PROJECT.parent)  # the linter adds a path and leaves it there
    status = linter.lint_imports(config_filename=str(PROJECT), no_cache=True, no_logo=True)
    assert status == 0, capsys.readouterr().out


def test_every_package_has_a_layer() -> None:
    layers = {
        name.strip() for layer in contracts()["layers"]["layers"] for name in layer.split("|")
    }
    packages = {f"backaudit.{folder.parent.name}" for folder in PACKAGE.glob("*/__init__.py")}
    assert packages | {"backaudit.audit"} == layers


def test_detectors_may_see_no_attack_no_zoo_and_no_file() -> None:
    forbidden = contracts()["forbidden"]
    assert forbidden["source_modules"] == ["backaudit.detectors"]
    hidden = {"backaudit.attacks", "backaudit.bench", "backaudit.loading"}
    assert hidden <= set(forbidden["forbidden_modules"])

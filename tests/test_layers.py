import tomllib
from pathlib import Path
from typing import Any

import pytest

import backaudit

PACKAGE = Path(backaudit.__file__).parent
PROJECT = PACKAGE.parent / "pyproject.toml"

linter = pytest.importorskip("importlinter.cli")


def layers() -> list[str]:
    return next(contract["layers"] for contract in _contracts() if contract["type"] == "layers")


def forbidden_to(package: str) -> set[str]:
    contracts = (each for each in _contracts() if each["type"] == "forbidden")
    return {
        hidden
        for each in contracts
        if each["source_modules"] == [package]
        for hidden in each["forbidden_modules"]
    }


def _contracts() -> list[dict[str, Any]]:
    settings = tomllib.loads(PROJECT.read_text("utf-8"))["tool"]["importlinter"]
    contracts: list[dict[str, Any]] = settings["contracts"]
    return contracts


def test_imports_point_downwards(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(PROJECT.parent)  # the linter adds a path and leaves it there
    # It would also switch off the loggers of all others for the tests that follow.
    monkeypatch.setattr("logging.config.dictConfig", lambda _: None)
    status = linter.lint_imports(config_filename=str(PROJECT), no_cache=True, no_logo=True)
    assert status == 0, capsys.readouterr().out


def test_every_package_has_a_layer() -> None:
    named = {name.strip() for layer in layers() for name in layer.split("|")}
    packages = {f"backaudit.{folder.parent.name}" for folder in PACKAGE.glob("*/__init__.py")}
    assert packages | {"backaudit.audit"} == named


def test_detectors_may_see_no_attack_no_zoo_and_no_file() -> None:
    hidden = forbidden_to("backaudit.detectors")
    assert {"backaudit.attacks", "backaudit.bench", "backaudit.loading"} <= hidden
    assert {"backaudit.files", "backaudit.programs"} <= hidden


def test_what_a_file_holds_is_told_without_torch() -> None:
    assert {"torch", "torchvision"} <= forbidden_to("backaudit.files")

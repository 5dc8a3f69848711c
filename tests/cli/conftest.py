from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from backaudit.cli import methods, rules, scan
from backaudit.cli.app import app
from backaudit.core.clean_set import CleanSet
from backaudit.core.suspect import Suspect
from tests.audits import Agrees, Calibrates, Reads, clean_set, suspect

Call = Callable[..., Result]


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A list of fake detectors that a test may change."""
    listed: dict[str, Any] = {"ban": Reads, "mm-bd": Agrees, "ibd-psc": Calibrates}
    for module in (methods, rules, scan):
        monkeypatch.setattr(module, "DETECTORS", listed)
    return listed


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replaces loading by a fake; collects the options it was called with."""
    calls: list[Any] = []

    def load(model: Path, clean: Path, options: Any) -> tuple[Suspect, CleanSet]:
        calls.append(options)
        return suspect(path=model), clean_set()

    monkeypatch.setattr(scan, "load", load)
    return calls


@pytest.fixture
def call(
    fakes: dict[str, Any], loads: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Call:
    """Run ``backaudit scan model.pt --clean clean`` with more arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").write_text("weights")

    def invoke(*arguments: str, **environment: str) -> Result:
        command = ["scan", "model.pt", "--clean", "clean", *arguments]
        return CliRunner(env={"COLUMNS": "80", **environment}).invoke(app, command)

    return invoke

"""A zoo of toys, and what the commands are asked about it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from backaudit.cli.app import app
from tests.bench.conftest import Handed, handed
from tests.bench.zoos import badnets, put, recipe, toy_data

Call = Callable[..., Result]
__all__ = ["Call", "Handed", "assert_refused", "handed", "stored"]


@pytest.fixture
def on_zoo(handed: Handed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command of ``backaudit bench`` on a zoo of a benign and a backdoored model."""
    del handed
    monkeypatch.setattr("backaudit.bench.data.datasets.generated_signs", lambda *_: toy_data())
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "zoo", recipe("benign-1", dataset="signs"))
    put(tmp_path / "zoo", badnets("badnets-1", dataset="signs"))

    def invoke(command: str, *arguments: str) -> Result:
        runner = CliRunner(env={"COLUMNS": "160"})
        return runner.invoke(app, ["bench", command, "zoo", *arguments])

    return invoke


def stored(folder: str = "zoo/results") -> list[str]:
    """Names of the results."""
    return sorted(path.name for path in Path(folder).glob("*.seed*.json"))


def assert_refused(result: Result, said: str, handed: Handed) -> None:
    """The command line was wrong, and nothing was loaded before that was said."""
    assert result.exit_code == 2
    assert said in result.stderr
    assert handed == []

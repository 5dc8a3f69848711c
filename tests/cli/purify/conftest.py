from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from backaudit.cli.app import app
from backaudit.cli.purify import methods, run
from backaudit.core.clean_set import CleanSet
from backaudit.core.purification import Output, Purification
from backaudit.core.suspect import Suspect
from backaudit.purification.terms import PurifyTerms
from backaudit.purifiers.interface import Purifier
from tests.audits import clean_set, suspect
from tests.purifications import FAKES, Repairs, Wrecks, purification

Call = Callable[..., Result]


class Calls:
    """What the command asked for, and what it is answered.

    Attributes:
        loads: options of each load.
        purifies: arguments of each purification.
        answer: what came of the purification.
    """

    def __init__(self) -> None:
        self.loads: list[Any] = []
        self.purifies: list[tuple[Sequence[Purifier], Path, PurifyTerms]] = []
        self.answer = purification()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Replaces loading and purifying by fakes."""
    made = Calls()

    def load(model: Path, clean: Path, options: Any) -> tuple[Suspect, CleanSet]:
        made.loads.append(options)
        return suspect(path=model), clean_set()

    def purify(
        of: Suspect,
        clean: CleanSet,
        purifiers: Sequence[Purifier],
        output: Path,
        terms: PurifyTerms,
    ) -> Purification:
        made.purifies.append((purifiers, output, terms))
        if made.answer.output is None:
            return made.answer
        written = Output(output, "ab" * 32, made.answer.output.written)
        return replace(made.answer, output=written)

    monkeypatch.setattr(run, "load", load)
    monkeypatch.setattr(run, "purify", purify)
    monkeypatch.setattr(methods, "PURIFIERS", FAKES)
    monkeypatch.setattr(methods, "AUTOMATIC", (Repairs(), Wrecks()))
    return made


@pytest.fixture
def call(calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run ``backaudit purify model.pt --clean clean --output new.pt`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").write_text("weights")

    def invoke(*arguments: str, output: str = "new.pt", **environment: str) -> Result:
        command = ["purify", "model.pt", "--clean", "clean", "--output", output, *arguments]
        return CliRunner(env={"COLUMNS": "80", **environment}).invoke(app, command)

    return invoke

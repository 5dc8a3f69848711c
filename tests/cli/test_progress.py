import io

import pytest
from rich.console import Console

from backaudit.cli import progress
from backaudit.cli.progress import progress_shown
from backaudit.core.progress import track


def audited(*, terminal: bool, quiet: bool = False) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=80, color_system=None)
    with progress_shown(console, "auditing", quiet=quiet):
        for _ in track(range(3), "ban: [x] searching"):
            pass
        for _ in track(range(2), "ban: [x] searching"):
            pass
    return text.getvalue()


def test_what_takes_long_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    shown = audited(terminal=True)
    assert "auditing" in shown


def test_steps_are_shown_literally_with_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80, color_system=None)
    with progress_shown(console, "auditing", quiet=False):
        steps = track(range(4), "ban: [x] searching")
        next(steps)
    assert "ban: [x] searching" in text.getvalue()
    assert "left" in text.getvalue()


def test_what_is_quick_is_not_shown() -> None:
    assert "auditing" not in audited(terminal=True)


def test_nothing_is_shown_off_a_terminal_or_when_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    assert audited(terminal=False) == ""
    assert audited(terminal=True, quiet=True) == ""

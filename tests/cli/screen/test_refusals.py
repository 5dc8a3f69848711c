import os
from pathlib import Path
from typing import Any

import pytest

from backaudit.cli.screen import run as command
from tests.cli.screen.conftest import Brightness, Call, ready


@pytest.mark.parametrize(
    "arguments",
    [
        ("mixed",),
        (),
        ("--clean", "clean"),
        ("mixed", "--clean", "clean", "--calibration", "c.json"),
        ("mixed", "--calibration", "c.json", "--set", "bright.limit=1"),
        ("mixed", "--calibration", "c.json", "--false-flag-rate", "0.1"),
        ("mixed", "--calibration", "c.json", "--calibrate", "d.json"),
        ("--clean", "clean", "--calibrate", "c.json", "-o", "json"),
        ("--clean", "clean", "--export", "guarded.pth"),
        ("--clean", "clean", "--export", "no/guarded.pt2"),
        ("--clean", "clean", "--export", "c.pt2", "--calibrate", "c.pt2"),
        ("mixed", "--clean", "clean", "--screeners", "brihgt"),
        ("mixed", "--clean", "clean", "--screeners", ","),
        ("mixed", "--clean", "clean", "--set", "strip.alpha=1"),
        ("mixed", "--clean", "clean", "--set", "bright.limti=1"),
        ("mixed", "--clean", "clean", "-o", "xml"),
        ("mixed", "--clean", "clean", "-o", "json=no/folder.json"),
        ("mixed", "--clean", "clean", "-o", "json=model.pt", "--force"),
        ("mixed", "--clean", "clean", "--calibrate", "model.pt"),
        ("mixed", "--clean", "clean", "-o", "jsonl", "-o", "csv"),
        ("mixed", "--clean", "clean", "--move-flagged", "mixed/out"),
        ("mixed", "--clean", "clean", "--fail-on", "backdoored"),
        ("mixed", "--clean", "clean", "--batch-size", "0"),
        ("-", "mixed", "--clean", "clean"),
    ],
)
def test_a_wrong_command_line_is_said_before_anything_is_loaded(
    call: Call, loads: list[Any], arguments: tuple[str, ...]
) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr
    assert "Traceback" not in result.stderr
    assert loads == []
    assert Path("model.pt").read_text() == "weights"


@pytest.mark.parametrize("inputs", ["missing", "empty", "*.bmp"])
def test_nothing_to_screen_is_said_before_anything_is_loaded(
    call: Call, loads: list[Any], inputs: str
) -> None:
    Path("empty").mkdir()
    result = call(inputs, "--clean", "clean")
    assert result.exit_code == 3
    assert "Give a folder" in result.stderr
    assert loads == []


def test_an_interrupted_screening_says_so_and_leaves_no_file(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Brightness, "__call__", interrupt)
    before = set(os.listdir())  # noqa: PTH208
    monkeypatch.setattr(command, "calibrated", ready)
    result = call("mixed", "--clean", "clean", "-o", "json=x.json", "-o", "csv=x.csv")
    assert result.exit_code == 130
    assert set(os.listdir()) == before  # noqa: PTH208

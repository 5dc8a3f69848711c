import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

from backaudit.cli.app import app

Call = Callable[..., Result]
BEFORE = {"chain.pt", "evil.pt", "page.pt", "cut.pt"}
UNREADABLE = """
import sys
from backaudit.cli.app import main
sys.argv = ["backaudit", "inspect", "page.pt"]
try:
    main()
except SystemExit as done:
    print(done.code, sorted({"torch", "numpy", "onnx"} & set(sys.modules)), file=sys.stderr)
"""


class Canary:
    """Pickled as a call that would leave a folder behind."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, ("canary",)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run ``backaudit inspect`` in a folder with files of several kinds."""
    monkeypatch.chdir(tmp_path)
    chain = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 5)
    )
    torch.save({"state_dict": chain.state_dict(), "epoch": 3}, "chain.pt")
    torch.save({"state_dict": chain.state_dict(), "extra": Canary()}, "evil.pt")
    Path("page.pt").write_text("<!doctype html><html>not found</html>")
    Path("cut.pt").write_bytes(Path("chain.pt").read_bytes()[:-400])

    def invoke(*arguments: str, **environment: str) -> Result:
        runner = CliRunner(env={"COLUMNS": "80", **environment})
        return runner.invoke(app, ["inspect", *arguments])

    return invoke


def test_an_honest_file_is_one_page_and_exit_code_0(call: Call) -> None:
    result = call("chain.pt")
    assert result.exit_code == 0
    assert result.stderr == ""
    for part in ("INSPECTED", "dictionary of state_dict, epoch", "1 batch norm layer", "BA003"):
        assert part in result.stdout


def test_a_file_that_would_run_code_is_told_opcode_and_offset_and_runs_nothing(call: Call) -> None:
    result = call("evil.pt")
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert "UNSAFE FILE" in text
    assert f"{os.name}.mkdir" in text
    assert "GLOBAL at " in text
    assert "called by REDUCE at " in text
    assert not Path("canary").exists()


@pytest.mark.parametrize(("file", "said"), [("page.pt", "web page"), ("cut.pt", "damaged")])
def test_a_file_that_cannot_be_read_says_why_and_exits_with_3(
    call: Call, file: str, said: str
) -> None:
    result = call(file)
    assert result.exit_code == 3
    assert "CANNOT BE READ" in result.stdout
    assert said in result.stdout
    assert "SHA-256" in result.stdout


def test_what_cannot_be_read_is_said_without_torch(call: Call) -> None:
    command = [sys.executable, "-c", UNREADABLE]
    done = subprocess.run(command, text=True, capture_output=True, check=False)  # noqa: S603
    assert done.stderr.strip().endswith("3 []")


def test_a_missing_file_is_one_line(call: Call) -> None:
    result = call("nowhere.pt")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr == "backaudit: nowhere.pt does not exist: check the path.\n"


def test_several_outputs_from_one_run(call: Call) -> None:
    result = call("chain.pt", "-o", "terminal", "-o", "json=i.json", "-o", "terminal=i.txt")
    record = json.loads(Path("i.json").read_text())
    assert (record["result"], record["exit_code"]) == ("nothing-unsafe", 0)
    assert "INSPECTED" in Path("i.txt").read_text("utf-8")
    assert "wrote i.json" in result.stderr


def test_a_report_in_a_file_still_says_the_result(call: Call) -> None:
    result = call("evil.pt", "-o", "json=i.json")
    assert result.stdout == ""
    assert "unsafe file: Loading this file would run code" in result.stderr
    assert "Exit code 1." in result.stderr
    assert call("evil.pt", "-o", "json=j.json", "--quiet").output == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("chain.pt", "-o", "xml"),
        ("chain.pt", "-o", "json=page.pt"),
        ("chain.pt", "-o", "json=chain.pt", "--force"),
        ("chain.pt", "-o", "json=x", "--skeleton", "x"),
        ("chain.pt", "--max-gib", "0"),
        ("chain.pt", "--max-gib", "nan"),
        (),
    ],
)
def test_a_wrong_command_line_is_said(call: Call, arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr
    assert {path.name for path in Path().iterdir()} == BEFORE


def test_a_smaller_limit_refuses_the_file(call: Call) -> None:
    result = call("chain.pt", "--max-gib", "0.000001")
    assert result.exit_code == 3
    assert "raise --max-gib" in result.stderr
    assert call("chain.pt", BACKAUDIT_MAX_GIB="0.000001").exit_code == 3


def test_a_skeleton_of_a_chain_is_written(call: Call) -> None:
    result = call("chain.pt", "--skeleton", "net.py")
    assert result.exit_code == 0
    assert "class Net" in Path("net.py").read_text("utf-8")
    assert "wrote net.py" in result.stderr
    assert call("chain.pt", "--skeleton", "net.py").exit_code == 2
    assert call("chain.pt", "--skeleton", "net.py", "--force").exit_code == 0


def test_a_skeleton_of_an_unsafe_file_is_not_written_and_said(call: Call) -> None:
    result = call("evil.pt", "--skeleton", "net.py")
    assert result.exit_code == 1
    assert "net.py is not written" in result.stderr
    assert not Path("net.py").exists()

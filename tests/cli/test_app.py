import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from backaudit.cli import scan
from backaudit.cli.app import app, guarded
from backaudit.core.errors import (
    BackauditError,
    CheckpointError,
    CleanSetError,
    OutputError,
    SettingError,
    SuspectModifiedError,
)

Call = Callable[..., Result]
FULL = Path("/dev/full")
QUICK = """
import sys, time
start = time.perf_counter()
from backaudit.cli.app import main
sys.argv = {argv}
try:
    main()
except SystemExit as done:
    heavy = {{"torch", "numpy", "torchvision", "PIL"}} & set(sys.modules)
    print(f"{{done.code}} {{sorted(heavy)}} {{time.perf_counter() - start}}", file=sys.stderr)
"""


def run_python(*arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "COLUMNS": "80", "OMP_NUM_THREADS": "1"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    command = [sys.executable, *arguments]
    return subprocess.run(command, text=True, env=environment, check=False, **streams)  # noqa: S603


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["backaudit", "--help"], "scan"),
        (["backaudit", "scan", "--help"], "--save-calibration"),
        (["backaudit", "rules", "--help"], "backaudit rules ban"),
        (["backaudit", "--version"], f"backaudit {version('backaudit')}"),
    ],
)
def test_help_answers_at_once_without_torch(argv: list[str], shown: str) -> None:
    done = run_python("-c", QUICK.format(argv=argv))
    assert shown in done.stdout
    code, heavy, seconds = done.stderr.rsplit(maxsplit=2)
    assert (code, heavy) == ("0", "[]")
    # Generous, because test machines are busy; alone it takes a tenth of it.
    assert float(seconds) < 2


def test_python_m_backaudit_works() -> None:
    done = run_python("-m", "backaudit", "--version")
    assert done.stdout == f"backaudit {version('backaudit')}\n"


def test_without_a_command_there_is_help_and_no_pass() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "scan" in result.output


def test_a_missing_option_is_a_wrong_command_line() -> None:
    result = CliRunner().invoke(app, ["scan", "model.pt"])
    assert result.exit_code == 2
    assert "--clean" in result.stderr
    assert result.stdout == ""


def test_help_has_examples_and_exit_codes() -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["scan", "--help"])
    assert "backaudit scan model.pt --clean ./samples" in result.stdout
    assert "4 inconclusive" in result.stdout


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (CheckpointError("no tensors"), 3, "backaudit: no tensors"),
        (CleanSetError("no images"), 3, "backaudit: no images"),
        (SuspectModifiedError("changed"), 3, "backaudit: changed"),
        (BackauditError("other"), 3, "backaudit: other"),
        (SettingError("unknown"), 2, "backaudit: unknown"),
        (OutputError("full"), 2, "backaudit: full"),
        (MemoryError(), 3, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 3, "out of memory"),
        (ModuleNotFoundError("No module named 'torch'"), 3, "incomplete: No module named 'torch'"),
        (ZeroDivisionError("division"), 3, "bug in backaudit.* ZeroDivisionError: division"),
        (OSError(5, "Input/output error"), 3, "bug in backaudit"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_error_is_a_paragraph_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error

    assert guarded(work, debug=False) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert "Traceback" not in shown.err
    assert re.search(said, shown.err)


def test_an_error_while_cleaning_up_after_ctrl_c_is_still_ctrl_c(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work() -> int:
        try:
            raise KeyboardInterrupt
        finally:
            raise SuspectModifiedError("half-way")

    assert guarded(work, debug=False) == 130
    assert "half-way" not in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_a_real_ctrl_c_exits_with_130() -> None:
    code = (
        "import os, signal, sys; from backaudit.cli.app import guarded; "
        "sys.exit(guarded(lambda: os.kill(os.getpid(), signal.SIGINT) or 0, debug=False))"
    )
    done = run_python("-c", code)
    assert done.returncode == 130
    assert done.stderr.startswith("backaudit: interrupted")


def test_debug_shows_the_traceback_of_a_bug(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise ZeroDivisionError("division")

    monkeypatch.setattr(scan, "load", fail)
    quiet, loud = call(), call("--debug")
    assert quiet.exit_code == loud.exit_code == 3
    assert "--debug" in quiet.stderr
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr
    assert "ZeroDivisionError" in loud.stderr


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
def test_a_full_standard_output_is_no_verdict() -> None:
    with FULL.open("w") as full:
        done = run_python("-m", "backaudit", "rules", stdout=full)
    assert done.returncode == 2
    assert done.stderr == "backaudit: standard output cannot be written: No space left on device\n"

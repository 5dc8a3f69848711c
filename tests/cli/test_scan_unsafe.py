import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from backaudit.cli import scan
from backaudit.core.errors import UnsafeFileError
from backaudit.files.limits import Limits
from tests import surveys
from tests.audits import clean_set, suspect

Call = Callable[..., Result]


@pytest.fixture
def refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a scan whose checkpoint is unsafe."""

    def refuse(*given: object) -> None:
        raise UnsafeFileError("is unsafe", surveys.unsafe())

    monkeypatch.setattr(scan, "load", refuse)
    return call


def test_an_unsafe_file_ends_the_scan_with_what_it_would_have_run(refused: Call) -> None:
    result = refused()
    assert result.exit_code == 1
    assert "UNSAFE FILE" in result.stdout
    assert "posix.system" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    "options",
    [("--fail-on", "never"), ("--fail-on", "backdoored"), ("--on-inconclusive", "pass")],
)
def test_no_option_makes_an_unsafe_file_pass(refused: Call, options: tuple[str, ...]) -> None:
    assert refused(*options).exit_code == 1


def test_every_requested_output_is_written(refused: Call, tmp_path: Path) -> None:
    result = refused("-o", "terminal=a.txt", "-o", "json=a.json")
    record = json.loads((tmp_path / "a.json").read_text())
    assert (record["verdict"], record["exit_code"]) == ("inconclusive", 1)
    assert [finding["rule"]["id"] for finding in record["findings"]] == ["BA001"]
    assert record["clean_set"]["source"] == "clean"
    assert "UNSAFE FILE" in (tmp_path / "a.txt").read_text("utf-8")
    assert "unsafe file: Loading this file would run code" in result.stderr
    assert "wrote a.json" in result.stderr


def test_a_calibration_is_not_written_and_that_is_said(refused: Call, tmp_path: Path) -> None:
    result = refused("--save-calibration", "c.json", "--quiet")
    assert result.exit_code == 1
    assert result.stderr == "warning: c.json is not written, because the file is unsafe\n"
    assert not (tmp_path / "c.json").exists()


def test_code_that_is_merely_unknown_is_named_on_the_page_and_in_the_record(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = suspect(findings=surveys.unknown().contents.findings)
    monkeypatch.setattr(scan, "load", lambda *given: (named, clean_set()))
    text = " ".join(call().stdout.split())
    assert "File Loading it would call torchvision.models.resnet.ResNet" in text
    assert "Nothing of it was imported here." in text
    result = call("-o", "json")
    assert result.exit_code == 0
    (finding,) = json.loads(result.stdout)["findings"]
    assert (finding["rule"]["id"], finding["unsafe"]) == ("BA002", False)


def test_a_file_without_remarks_has_no_line(call: Call) -> None:
    assert "\nFile " not in call().stdout


def test_the_limit_reaches_the_loader(call: Call, loads: list[Any]) -> None:
    call("--max-gib", "16")
    assert loads[0].limits == Limits(max_bytes=16 * 2**30, growth=None)


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "inf"])
def test_a_limit_that_makes_no_sense_is_refused(call: Call, loads: list[Any], wrong: str) -> None:
    result = call("--max-gib", wrong)
    assert result.exit_code == 2
    assert "--max-gib" in result.stderr
    assert loads == []

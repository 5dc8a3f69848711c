import io
import os
import sys
from pathlib import Path

import pytest
from rich.panel import Panel
from rich.text import Text

from backaudit.cli import outputs
from backaudit.cli.outputs import (
    Output,
    check_outputs,
    parse_outputs,
    print_page,
    write_atomically,
    write_standard_output,
)
from backaudit.core.errors import OutputError, SettingError

KNOWN = ("terminal", "json")


def test_without_any_the_terminal_report_goes_to_standard_output() -> None:
    assert parse_outputs((), KNOWN) == (Output("terminal"),)


def test_several_outputs() -> None:
    assert parse_outputs(["terminal", "json=a=b.json"], KNOWN) == (
        Output("terminal"),
        Output("json", Path("a=b.json")),
    )


def test_a_dash_is_standard_output() -> None:
    assert parse_outputs(["json=-"], KNOWN) == (Output("json"),)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["jsom"], "no report format 'jsom'. Did you mean 'json'"),
        (["json="], "names no file"),
        (["json", "terminal"], "cannot share standard output"),
        (["json=a", "terminal=./a"], "one file"),
    ],
)
def test_outputs_that_make_no_sense_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        parse_outputs(texts, KNOWN)


def test_a_free_name_in_a_writable_folder_passes_and_leaves_nothing(tmp_path: Path) -> None:
    check_outputs([tmp_path / "a.json"], (), force=False)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_needs_force(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")
    with pytest.raises(OutputError, match=r"exists; .* --force"):
        check_outputs([file], (), force=False)
    check_outputs([file], (), force=True)
    assert file.read_text() == "old"


@pytest.mark.parametrize("force", [True, False])
def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path, force: bool) -> None:
    for path in (tmp_path, Path(os.devnull)):
        with pytest.raises(OutputError, match="not a regular file"):
            check_outputs([path], (), force=force)


def test_the_model_is_never_overwritten(tmp_path: Path) -> None:
    model = tmp_path / "model.pt"
    model.write_text("weights")
    link = tmp_path / "link.json"
    link.symlink_to(model)
    for file in (model, link):
        with pytest.raises(OutputError, match="is read by this command"):
            check_outputs([file], [model], force=True)


def test_a_missing_folder_is_said_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder does not take files: No such file"):
        check_outputs([tmp_path / "no" / "a.json"], (), force=False)


def test_a_folder_that_takes_no_files_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, mode: int = 0, exist_ok: bool = True) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        check_outputs([tmp_path / "a.json"], (), force=False)


def test_writing_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_atomically(file, "néw", force=False)
    assert file.read_text("utf-8") == "néw"
    assert list(tmp_path.iterdir()) == [file]
    assert file.stat().st_mode & 0o600 == 0o600


def test_a_file_that_appeared_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")
    with pytest.raises(OutputError, match="exists"):
        write_atomically(file, "new", force=False)
    assert file.read_text() == "old"


def test_a_link_keeps_pointing_where_it_did(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, "new", force=True)
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_half_way_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")

    def fail(descriptor: int) -> None:
        raise failure

    monkeypatch.setattr(outputs.os, "fsync", fail)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        write_atomically(file, "new", force=True)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_standard_output_takes_what_its_encoding_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    write_standard_output("a\u2588b")
    assert raw.getvalue() == b"a?b"


def test_a_page_takes_the_encoding_of_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    print_page(Panel(Text("[b]é[/b]")))
    assert raw.getvalue().startswith(b"+--")
    assert b"| [b]?[/b]" in raw.getvalue()


def test_a_closed_standard_output_is_an_output_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(OutputError, match="Broken pipe"):
            print_page(Text("x" * 100_000))

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from backaudit.cli.exits import ExitCode
from backaudit.cli.outputs import Output
from backaudit.cli.screen.flagged import Copies, check_folder
from backaudit.cli.screen.lines import StandardOutput, lines_written
from backaudit.cli.screen.options import FailOnImages
from backaudit.cli.screen.report import exit_code
from backaudit.cli.screen.screening import Highest
from backaudit.core.errors import OutputError, SettingError
from backaudit.reports.screening.rows import unreadable_row
from tests.screenings import screening

Stat = Callable[[], None]


@pytest.mark.parametrize(
    ("fail_on", "flagged", "p_value", "unreadable", "code"),
    [
        (FailOnImages.FLAGGED, 0, 1.0, 0, ExitCode.NO_EVIDENCE),
        (FailOnImages.FLAGGED, 1, 0.9, 0, ExitCode.FOUND),
        (FailOnImages.FLAGGED, 1, 0.9, 5, ExitCode.FOUND),
        (FailOnImages.FLAGGED, 0, 1.0, 1, ExitCode.NOT_AUDITED),
        (FailOnImages.EXCESS, 3, 0.5, 0, ExitCode.NO_EVIDENCE),
        (FailOnImages.EXCESS, 30, 0.001, 0, ExitCode.FOUND),
        (FailOnImages.EXCESS, 3, 0.5, 1, ExitCode.NOT_AUDITED),
        (FailOnImages.NEVER, 30, 0.001, 0, ExitCode.NO_EVIDENCE),
        (FailOnImages.NEVER, 30, 0.001, 1, ExitCode.NOT_AUDITED),
    ],
)
def test_the_exit_code_follows_from_what_was_found(
    fail_on: FailOnImages, flagged: int, p_value: float, unreadable: int, code: ExitCode
) -> None:
    assert exit_code(fail_on, flagged, p_value, unreadable) is code


def test_the_highest_are_kept_and_of_equals_the_first() -> None:
    highest: Highest[str] = Highest(3)
    for name, score in (("a", 0.5), ("b", 0.9), ("c", 0.5), ("d", 0.1), ("e", 0.5), ("f", 0.7)):
        highest.add(score, lambda name=name: name)  # type: ignore[misc]
    assert highest.sorted() == ["b", "f", "a"]


def test_what_is_not_kept_is_not_made() -> None:
    made = []
    highest: Highest[int] = Highest(1)
    for index, score in enumerate((0.9, 0.1, 0.95)):
        highest.add(score, lambda index=index: made.append(index) or index)  # type: ignore[misc, func-returns-value]
    assert made == [0, 2]


def test_copies_keep_their_names_and_overwrite_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "x.png").write_text("mine")
    for folder, text in (("a", "first"), ("b", "second")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_text(text)
    copies = Copies(target)
    copies.add_file(str(tmp_path / "a/x.png"))
    copies.add_file(str(tmp_path / "b/x.png"))
    contents = {path.name: path.read_text() for path in target.iterdir()}
    assert contents == {"x.png": "mine", "x-1.png": "first", "x-2.png": "second"}
    assert copies.count == 2
    assert (tmp_path / "a/x.png").read_text() == "first"


def test_a_copy_does_not_follow_a_link_that_waits_for_it(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x.png").symlink_to(tmp_path / "victim")
    (tmp_path / "x.png").write_text("picture")
    Copies(tmp_path / "out").add_file(str(tmp_path / "x.png"))
    assert not (tmp_path / "victim").exists()
    assert (tmp_path / "out/x-1.png").read_text() == "picture"


def test_a_copy_stays_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "deep/in").mkdir(parents=True)
    (tmp_path / "evil.png").write_text("picture")
    copies = Copies(tmp_path / "out")
    copies.add_file(f"{tmp_path}/deep/in/../../evil.png")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evil.png"]


def test_a_picture_that_vanished_is_warned_about_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = Copies(tmp_path / "out")
    copies.add_file(str(tmp_path / "gone.png"))
    assert copies.count == 0
    assert "gone.png is flagged but cannot be copied" in capsys.readouterr().err


def test_images_of_an_archive_become_png_files(tmp_path: Path) -> None:
    Copies(tmp_path).add_pixels("x-000003", torch.full((3, 2, 2), 9, dtype=torch.uint8))
    with Image.open(tmp_path / "x-000003.png") as shown:
        assert shown.getpixel((0, 0)) == (9, 9, 9)


def test_a_folder_that_takes_no_copies_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be copied"):
        Copies(tmp_path / "file/out").add_pixels("x", torch.zeros(3, 1, 1, dtype=torch.uint8))


def test_copies_do_not_land_among_what_is_screened(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    check_folder(tmp_path / "out", [str(tmp_path / "in")])
    with pytest.raises(SettingError, match="would be screened too"):
        check_folder(tmp_path / "in/flagged", [str(tmp_path / "in")])
    with pytest.raises(OutputError, match="is a file"):
        check_folder(tmp_path / "file", [str(tmp_path / "in")])


def test_lines_to_a_file_appear_when_they_are_whole(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    with lines_written([Output("jsonl", file)], ["ibd-psc"], force=False) as written:
        written.add(unreadable_row("a", "b"))
        assert not file.exists()
        written.finish(screening())
    assert file.read_text().count("\n") == 1


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_an_interrupted_screening_leaves_no_file(tmp_path: Path, kind: str) -> None:
    outputs = [Output(kind, tmp_path / "lines")]
    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with lines_written(outputs, ["ibd-psc"], force=False) as written:
            written.add(unreadable_row("a", "b"))
            raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_lines_go_out_when_they_are_flushed_or_many(capsys: pytest.CaptureFixture[str]) -> None:
    stream = StandardOutput()
    stream.write("one\n")
    assert capsys.readouterr().out == ""
    stream.flush()
    assert capsys.readouterr().out == "one\n"
    stream.write("x" * (1 << 16))
    assert len(capsys.readouterr().out) == 1 << 16

import csv
import io
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from backaudit.cli.app import app
from backaudit.cli.screen import lines
from backaudit.cli.screen import run as command
from backaudit.cli.screen.options import ScreenOptions
from tests.cli.screen.conftest import Brightness, Call, draw, ready
from tests.toy import SIZE

SOON = 10.0


def test_flagged_images_are_named_and_exit_with_1(call: Call) -> None:
    result = call("mixed", "--clean", "clean")
    assert result.exit_code == 1
    assert "1 OF 2 FLAGGED" in result.stdout
    assert "evil.png" in result.stdout
    assert "1 of another size brought to 12x12" in result.stdout
    assert result.stderr == ""


def test_without_a_flag_nothing_is_called_clean(call: Call) -> None:
    result = call("dark", "--clean", "clean")
    assert result.exit_code == 0
    assert "That proves none of them clean" in result.stdout


@pytest.mark.parametrize(
    ("inputs", "options", "code"),
    [
        ("mixed", ("--fail-on", "never"), 0),
        ("mixed", ("--fail-on", "excess"), 0),
        ("bright", ("--fail-on", "excess"), 1),
        ("dark", ("--fail-on", "excess"), 0),
        ("broken", (), 3),
        ("broken", ("--fail-on", "never"), 3),
    ],
)
def test_the_exit_code_is_the_one_in_the_record(
    call: Call, inputs: str, options: tuple[str, ...], code: int
) -> None:
    draw(Path("broken/a.png"), 10)
    for index in range(3):
        draw(Path(f"bright/{index}.png"), 255)
    Path("broken/b.png").write_text("no picture")
    result = call(inputs, "--clean", "clean", "-o", "json", *options)
    record = json.loads(result.stdout)
    assert (result.exit_code, record["exit_code"]) == (code, code)
    assert record["inputs"]["unreadable"] == (inputs == "broken")
    assert ("not screened: broken/b.png" in result.stderr) == (inputs == "broken")


def test_paths_on_standard_input_are_answered_line_by_line(call: Call) -> None:
    lines = b"mixed/evil.png\nmissing.png\n\ndark/a.png\n"
    result = call("-", "--clean", "clean", lines=lines)
    rows = list(map(json.loads, result.stdout.splitlines()))
    assert [(row["path"], row["flagged"]) for row in rows] == [
        ("mixed/evil.png", True),
        ("missing.png", None),
        ("dark/a.png", False),
    ]
    assert rows[1]["error"] == "it does not exist"
    assert "not screened: missing.png: it does not exist" in result.stderr
    assert "1 of 2 images flagged" in result.stderr
    assert result.exit_code == 1


def test_an_answer_does_not_wait_for_the_next_path(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    out: list[str] = []
    monkeypatch.setattr(lines, "write_standard_output", out.append)
    monkeypatch.setattr(command.sys, "stdin", os.fdopen(reading))
    options = ScreenOptions(
        Path("model.pt"), ["-"], clean=Path("clean"), screeners="bright", quiet=True
    )
    run = threading.Thread(target=command.run, args=(options,))
    run.start()
    answered = []
    for path in (b"dark/a.png\n", b"mixed/evil.png\n"):
        os.write(writing, path)
        until = time.monotonic() + SOON
        while len(out) <= len(answered) and time.monotonic() < until:
            time.sleep(0.01)
        answered.append("".join(out).count("\n"))
    os.close(writing)
    run.join(SOON)
    command.sys.stdin.close()
    assert answered == [1, 2]
    assert not run.is_alive()


def test_a_stream_that_names_nothing_is_an_error(call: Call) -> None:
    result = call("-", "--clean", "clean", "-o", "csv=x.csv", lines=b"\n")
    assert result.exit_code == 3
    assert "named no images" in result.stderr
    assert not Path("x.csv").exists()


def test_a_calibration_is_written_once_and_used_without_clean_images(call: Call) -> None:
    made = call("--clean", "clean", "--calibrate", "c.json")
    assert (made.exit_code, made.stdout) == (0, "")
    assert "wrote c.json" in made.stderr
    result = call("mixed", "--calibration", "c.json", "-o", "json")
    record = json.loads(result.stdout)
    assert record["calibrated_by"] == "c.json"
    assert record["screeners"][0]["settings"] == {"limit": 0.95}
    assert [image["flagged"] for image in record["images"]] == [True, False]


def test_calibrating_and_screening_go_together(call: Call) -> None:
    result = call("mixed", "--clean", "clean", "--calibrate", "c.json")
    assert result.exit_code == 1
    assert Path("c.json").exists()


def test_a_calibration_of_another_model_or_edited_by_hand_is_refused(call: Call) -> None:
    call("--clean", "clean", "--calibrate", "c.json")
    Path("model.pt").rename("other.pt")
    other = CliRunner().invoke(app, ["screen", "other.pt", "mixed", "--calibration", "c.json"])
    assert other.exit_code == 3
    Path("other.pt").rename("model.pt")
    Path("c.json").write_text(Path("c.json").read_text().replace("0.95", "0.99"))
    edited = call("mixed", "--calibration", "c.json")
    assert edited.exit_code == 3
    assert other.stdout == edited.stdout == ""


def test_settings_and_rates_reach_the_screener(call: Call) -> None:
    lax = call("mixed", "--clean", "clean", "--set", "bright.limit=2", "-o", "json")
    assert json.loads(lax.stdout)["summary"]["test"]["flagged"] == 0
    rated = call("dark", "--clean", "clean", "--false-flag-rate", "0.05", "-o", "json")
    assert json.loads(rated.stdout)["screeners"][0]["threshold_source"] == "false-flag-rate"
    few = call("dark", "--clean", "clean", "--false-flag-rate", "0.001")
    assert few.exit_code == 2
    assert "held-out clean images" in few.stderr


def test_several_outputs_from_one_run(call: Call) -> None:
    outputs = ("-o", "csv", "-o", "jsonl=x.jsonl", "-o", "html=x.html", "-o", "terminal=x.txt")
    result = call("mixed", "--clean", "clean", *outputs)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["flagged"] for row in rows] == ["true", "false"]
    assert len(Path("x.jsonl").read_text().splitlines()) == 2
    assert Path("x.html").read_text().count("<figure>") == 1
    assert "1 OF 2 FLAGGED" in Path("x.txt").read_text("utf-8")
    assert "wrote x.html" in result.stderr


def test_quiet_leaves_the_report_and_errors(call: Call) -> None:
    result = call("mixed", "--clean", "clean", "-o", "csv=x.csv", "--quiet")
    assert result.output == ""
    assert "not screened" in call("-", "--clean", "c", "-q", lines=b"no.png\n").stderr


def test_flagged_pictures_are_copied_and_others_are_not(call: Call) -> None:
    result = call("mixed", "--clean", "clean", "--move-flagged", "out/flagged")
    assert os.listdir("out/flagged") == ["evil.png"]  # noqa: PTH208
    assert Path("mixed/evil.png").exists()
    assert "copied 1 flagged picture" in result.stderr


def test_an_archive_is_screened_and_its_flagged_images_become_files(call: Call) -> None:
    light = np.array([10, 255, 20], np.uint8)[:, None, None, None]
    np.savez("x.npz", x=light * np.ones((1, SIZE, SIZE, 3), np.uint8))
    result = call("x.npz", "--clean", "clean", "--move-flagged", "out", "-o", "json")
    rows = json.loads(result.stdout)["images"]
    assert [(row["path"], row["flagged"]) for row in rows] == [
        ("x.npz[0]", False),
        ("x.npz[1]", True),
        ("x.npz[2]", False),
    ]
    assert os.listdir("out") == ["x-000001.png"]  # noqa: PTH208


def test_an_image_without_a_finite_score_is_not_taken_for_a_clean_one(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "calibrated", ready)
    monkeypatch.setattr(Brightness, "scale", float("nan"))
    result = call("dark", "--clean", "clean", "-o", "jsonl")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["flagged"] for row in rows] == [None, None]
    assert "not screened: dark/a.png: the network gives it no finite score" in result.stderr
    assert result.exit_code == 3


def test_small_batches_change_nothing(call: Call) -> None:
    every = [
        call("mixed", "--clean", "clean", "-o", "jsonl", *more).stdout
        for more in ((), ("--batch-size", "1"))
    ]
    assert every[0] == every[1]


def test_the_guarded_network_is_exported_with_and_without_images(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(
        command, "export_guarded", lambda *given, force: made.append((*given, force))
    )
    only = ("--screeners", "ibd-psc", "--set", "ibd-psc.depths=2")
    result = call("--clean", "clean", *only, "--calibrate", "c.json", "--export", "g.pt2")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "wrote g.pt2: one pass for all depths" in result.stderr
    call("dark", "--calibration", "c.json", *only[:2], "--export", "g.onnx", "--force")
    (first, *rest), (second, *others) = made
    assert (rest, others) == ([Path("g.pt2"), False], [Path("g.onnx"), True])
    assert first.about == second.about
    digest = json.loads(Path("c.json").read_text())["digest"]
    assert first.about["calibration_digest"] == digest


def test_what_does_not_guard_is_not_exported(call: Call) -> None:
    result = call("--clean", "clean", "--export", "g.pt2")
    assert result.exit_code == 3
    assert "only ibd-psc shares" in result.stderr
    assert not Path("g.pt2").exists()

import json
from pathlib import Path
from typing import Any

import pytest

from backaudit.cli.purify import run
from backaudit.core.errors import CheckpointError, DivergedError, NotApplicableError, OutputError
from backaudit.core.purification import Detected, Output
from backaudit.core.verdict import Verdict
from backaudit.loading.load import LoadOptions
from tests.audits import suspect
from tests.cli.purify.conftest import Call, Calls
from tests.purifications import FOUND, SILENT, Repairs, measured, purification

UNWRITTEN = Output(Path("new.pt"), "ab" * 32, False)
NOTHING = {
    "detected": Detected(Verdict.NO_EVIDENCE, (), "a scan"),
    "tried": (),
    "chosen": None,
    "after": None,
    "output": None,
}


def test_the_page_alone_is_on_standard_output(call: Call) -> None:
    result = call()
    assert result.exit_code == 0
    assert "PURIFIED" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stderr == "wrote new.pt and new.pt.purify.json\n"


@pytest.mark.parametrize(
    ("changes", "code", "name"),
    [
        ({}, 0, "purified"),
        ({"after": measured((), FOUND)}, 1, "still-found"),
        (
            {"before": measured((), SILENT[2:]), "after": measured((), SILENT[2:])},
            4,
            "inconclusive",
        ),
        ({"after": measured(range(9)), "output": UNWRITTEN}, 1, "too-inaccurate"),
        ({"after": measured(range(9)), "force": True}, 0, "purified"),
        (NOTHING, 0, "nothing-found"),
    ],
)
def test_the_exit_code_is_the_one_in_the_record(
    call: Call, calls: Calls, changes: dict[str, Any], code: int, name: str
) -> None:
    calls.answer = purification(**changes)
    result = call("--report", "json")
    record = json.loads(result.stdout)
    assert (result.exit_code, record["exit_code"], record["result"]) == (code, code, name)


def test_what_is_not_written_is_said_even_when_quiet(call: Call, calls: Calls) -> None:
    calls.answer = purification(after=measured(range(9)), output=UNWRITTEN)
    result = call("--quiet")
    assert "new.pt is not written: The result loses 40.0 points" in result.stderr
    assert "--resume --force" in result.stderr
    assert "wrote new.pt" not in call().stderr


def test_what_was_forced_is_said_wherever_the_report_goes(call: Call, calls: Calls) -> None:
    calls.answer = purification(after=measured(range(9)), force=True)
    forced = (
        "loses 40.0 points of accuracy, more than the 3.0 points that may be lost: only --force"
    )
    assert forced in call("--force", "--report", "json").stderr
    assert forced not in call("--force", "--quiet", "--report", "json").stderr


def test_reports_go_to_files_and_the_result_is_told(call: Call, tmp_path: Path) -> None:
    result = call("-r", "json=p.json", "-r", "terminal=p.txt")
    assert result.stdout == ""
    assert "purified: The detectors find no evidence" in result.stderr
    assert json.loads((tmp_path / "p.json").read_text())["result"] == "purified"
    assert "PURIFIED" in (tmp_path / "p.txt").read_text("utf-8")
    assert call("-r", "json=q.json", "--quiet").output == ""


def test_auto_scans_first_and_takes_the_first_that_is_good_enough(call: Call, calls: Calls) -> None:
    call()
    ((purifiers, output, terms),) = calls.purifies
    assert [each.rule.name for each in purifiers] == ["repairs", "wrecks"]
    assert (output, terms.first_good, terms.scan_first) == (Path("new.pt"), True, True)
    assert (terms.only_if_found, terms.detected) == (True, None)


def test_a_named_method_is_run_without_a_scan(call: Call, calls: Calls) -> None:
    call("--method", "repairs", "--set", "repairs.steps=5")
    ((purifiers, _, terms),) = calls.purifies
    assert list(purifiers) == [Repairs(steps=5)]
    assert (terms.first_good, terms.detected, terms.scan_first) == (False, None, False)
    assert not terms.only_if_found


def test_options_reach_the_terms(call: Call, calls: Calls) -> None:
    call(
        *("--seed", "3", "--max-accuracy-drop", "1.5", "--force", "--resume", "--device", "cpu"),
        *("--arch", "resnet18", "--max-images", "100", "--size", "32", "--classes", "names.txt"),
    )
    ((_, _, terms),) = calls.purifies
    assert (terms.seed, terms.max_accuracy_drop, terms.force, terms.resume) == (3, 1.5, True, True)
    assert (terms.clean, terms.triggered) == (Path("clean"), None)
    assert calls.loads == [terms.options]
    assert terms.options == LoadOptions(
        arch="resnet18", max_images=100, size=(32, 32), classes=Path("names.txt")
    )


def audit_of(sha256: str, verdict: str = "suspicious") -> str:
    return json.dumps(
        {"suspect": {"sha256": sha256}, "verdict": verdict, "target_classes": [5, 99]}
    )


def test_an_audit_of_the_same_file_is_taken_instead_of_a_scan(
    call: Call, calls: Calls, tmp_path: Path
) -> None:
    (tmp_path / "audit.json").write_text(audit_of(suspect().sha256))
    call("--audit", "audit.json")
    ((_, _, terms),) = calls.purifies
    assert terms.detected == Detected(Verdict.SUSPICIOUS, (5,), "audit.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (audit_of("0" * 64), "is of another model"),
        (audit_of(suspect().sha256, "clean"), "is not what"),
        ("{}", "is not what"),
        ("[" * 100_000, "is not what"),
        ("", "is not what"),
    ],
)
def test_another_audit_is_refused(
    call: Call, calls: Calls, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "audit.json").write_text(text)
    result = call("--audit", "audit.json")
    assert result.exit_code == 2
    assert said in result.stderr
    assert calls.purifies == []
    assert call("--audit", "none.json").exit_code == 2


def test_triggered_images_are_measured_with(
    call: Call, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []

    def read_triggered(*given: Any) -> Any:
        read.append(given[:2])
        return "triggered"

    monkeypatch.setattr(run, "read_triggered", read_triggered)
    call("--triggered", "evil", "--target", "dog")
    ((_, _, terms),) = calls.purifies
    assert terms.triggered == "triggered"  # type: ignore[comparison-overlap]
    assert read == [(Path("evil"), "dog")]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--triggered", "evil"),
        ("--target", "5"),
        ("--method", "repair"),
        ("--method", "repairs", "--set", "wrecks.steps=1"),
        ("--set", "repairs.step=1"),
        ("--max-accuracy-drop", "-1"),
        ("--max-accuracy-drop", "101"),
        ("--report", "xml"),
        ("--report", "json=new.pt"),
        ("--report", "json=new.pt.purify.json"),
        ("--report", "json=model.pt", "--force"),
        ("--report", "json=no/such/folder.json"),
        ("--device", "tpu"),
        ("--seed", "-1"),
        ("--size", "big"),
    ],
)
def test_a_wrong_command_line_is_said_before_anything_is_loaded(
    call: Call, calls: Calls, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert calls.loads == []
    assert (tmp_path / "model.pt").read_text() == "weights"


def test_the_output_is_nothing_that_is_read(call: Call, calls: Calls, tmp_path: Path) -> None:
    for name in ("audit.json", "evil.npz", "names.txt", "net.py"):
        (tmp_path / name).write_text("{}")
    assert call(output=".").exit_code == 2
    for output, said in (
        ("model.pt", "is the model, which is never written to"),
        ("./model.pt", "is the model, which is never written to"),
        ("audit.json", "another file of this command"),
        ("clean", "another file of this command"),
        ("evil.npz", "another file of this command"),
        ("names.txt", "another file of this command"),
        ("net.py", "another file of this command"),
    ):
        read = ("--classes", "names.txt", "--model-def", "net.py:make", "--triggered", "evil.npz")
        result = call("--audit", "audit.json", *read, "--target", "1", "--force", output=output)
        assert result.exit_code == 2
        assert said in result.stderr
    assert calls.loads == []


def test_an_existing_output_is_refused_before_anything_is_loaded(
    call: Call, calls: Calls, tmp_path: Path
) -> None:
    (tmp_path / "new.pt").write_text("old")
    assert call().exit_code == 2
    assert calls.loads == []
    assert call("--force").exit_code == 0


def test_an_existing_record_is_refused_before_anything_is_loaded(
    call: Call, calls: Calls, tmp_path: Path
) -> None:
    (tmp_path / "new.pt.purify.json").write_text("old")
    assert call().exit_code == 2
    assert calls.loads == []
    assert call("--force").exit_code == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotApplicableError("tsbd needs 100 images to train on."), 3),
        (DivergedError("the loss became NaN at step 3 of 20."), 3),
        (CheckpointError("weights of it cannot be rewritten."), 3),
        (OutputError("new.pt exists"), 2),
        (KeyboardInterrupt(), 130),
        (MemoryError(), 3),
    ],
)
def test_what_goes_wrong_is_a_paragraph_and_an_exit_code(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(run, "purify", fail)
    result = call()
    assert (result.exit_code, result.stdout) == (code, "")
    assert "Traceback" not in result.stderr
    if code == 130:
        assert (
            "nothing is half-written, and the same command with --resume goes on" in result.stderr
        )


def test_the_variable_of_report_formats_of_other_commands_is_not_its_output(
    call: Call, calls: Calls
) -> None:
    call(BACKAUDIT_OUTPUT="json")
    ((_, output, _),) = calls.purifies
    assert output == Path("new.pt")

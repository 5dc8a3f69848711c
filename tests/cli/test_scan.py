import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import Result

from backaudit.cli import scan
from backaudit.core.errors import CheckpointError
from backaudit.core.evidence import Evidence
from backaudit.loading.load import LoadOptions
from tests.audits import Crashes, DoesNotFit, Interrupted, Meddles, Reads

Call = Callable[..., Result]


@dataclass(frozen=True)
class Found(Reads):
    """Finds something."""

    score: float = 0.6


@dataclass(frozen=True)
class Hint(Reads):
    """Finds a little."""

    score: float = 0.4


def test_the_report_alone_is_on_standard_output(call: Call) -> None:
    result = call()
    assert result.exit_code == 0
    assert "NO-EVIDENCE" in result.stdout
    assert "not proof of its absence" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("detector", "options", "code", "verdict"),
    [
        (Reads, (), 0, "no-evidence"),
        (Found, (), 1, "backdoored"),
        (Hint, (), 1, "suspicious"),
        (Hint, ("--fail-on", "backdoored"), 0, "suspicious"),
        (Found, ("--fail-on", "backdoored"), 1, "backdoored"),
        (Found, ("--fail-on", "never"), 0, "backdoored"),
        (Crashes, (), 4, "inconclusive"),
        (DoesNotFit, (), 4, "inconclusive"),
        (DoesNotFit, ("--on-inconclusive", "pass"), 0, "inconclusive"),
        (Reads, ("--detectors", "mm-bd"), 4, "inconclusive"),
        (Found, ("--detectors", "ban,ibd-psc"), 1, "backdoored"),
        (Hint, ("--detectors", "ban", "--fail-on", "backdoored"), 4, "suspicious"),
        (Reads, ("--detectors", "ban,mm-bd"), 0, "no-evidence"),
    ],
)
def test_the_exit_code_is_the_one_in_the_record(
    call: Call,
    fakes: dict[str, Any],
    detector: type,
    options: tuple[str, ...],
    code: int,
    verdict: str,
) -> None:
    fakes["ban"] = detector
    result = call("-o", "json", *options)
    record = json.loads(result.stdout)
    assert (result.exit_code, record["exit_code"], record["verdict"]) == (code, code, verdict)


def test_a_detector_that_is_left_out_is_named_as_not_checked(call: Call) -> None:
    result = call("--detectors", "mm-bd", "-o", "json")
    record = json.loads(result.stdout)
    assert any("ban" in gap and "left out" in gap for gap in record["not_checked"])
    kinds = {run["rule"]["name"]: run["outcome"]["kind"] for run in record["runs"]}
    assert kinds == {"mm-bd": "evidence", "ban": "not-applicable", "ibd-psc": "not-applicable"}


def test_a_tolerated_gap_is_warned_about_even_when_quiet(call: Call, fakes: dict[str, Any]) -> None:
    fakes["ban"] = DoesNotFit
    result = call("--on-inconclusive", "warn", "--quiet")
    assert result.exit_code == 0
    assert "warning: inconclusive, and a required check could not be made" in result.stderr


def test_several_outputs_from_one_run(call: Call, tmp_path: Path) -> None:
    result = call("-o", "terminal", "-o", "json=audit.json", "-o", "terminal=audit.txt")
    assert result.exit_code == 0
    assert json.loads((tmp_path / "audit.json").read_text())["verdict"] == "no-evidence"
    assert "NO-EVIDENCE" in (tmp_path / "audit.txt").read_text("utf-8")
    assert "NO-EVIDENCE" in result.stdout
    assert "wrote audit.json" in result.stderr


def test_an_audit_whose_report_goes_to_a_file_still_says_its_verdict(call: Call) -> None:
    result = call("-o", "json=audit.json")
    assert result.stdout == ""
    assert "no-evidence: No evidence of a backdoor was found" in result.stderr


def test_quiet_leaves_the_report_alone(call: Call) -> None:
    result = call("-o", "json=audit.json", "--quiet")
    assert result.output == ""


def test_colours_only_where_they_are_wanted(call: Call) -> None:
    assert "\x1b[" in call(FORCE_COLOR="1").stdout
    assert "\x1b[3" not in call(FORCE_COLOR="1", NO_COLOR="1").stdout


def test_an_existing_output_is_refused_before_anything_is_loaded(
    call: Call, loads: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "audit.json").write_text("old")
    result = call("-o", "json=audit.json")
    assert result.exit_code == 2
    assert "audit.json exists" in result.stderr
    assert loads == []
    assert call("-o", "json=audit.json", "--force").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("-o", "json=no/such/folder.json"),
        ("-o", "json=model.pt", "--force"),
        ("-o", "json=names.txt", "--classes", "names.txt", "--force"),
        ("-o", "xml"),
        ("--detectors", "bna"),
        ("--set", "ban.restart=8"),
        ("--set", "ban"),
        ("--device", "tpu"),
        ("--device", "cuda:x"),
        ("--device", "cuda:99"),
        ("--size", "big"),
        ("--size", "0"),
        ("--mean", "a,b"),
        ("--std", ""),
        ("--threads", "0"),
        ("--seed", "-1"),
        ("--fail-on", "clean"),
        ("--save-calibration", "c.json", "--detectors", "ban,mm-bd"),
        ("--save-calibration", "c.json", "-o", "json=c.json"),
        ("--save-calibration", "no/c.json"),
    ],
)
def test_a_wrong_command_line_is_said_before_anything_is_loaded(
    call: Call, loads: list[Any], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr
    assert "Traceback" not in result.stderr
    assert loads == []
    assert (tmp_path / "model.pt").read_text() == "weights"


def test_options_reach_the_loader(call: Call, loads: list[Any]) -> None:
    call(
        *("--arch", "resnet18", "--model-def", "net.py:make", "--classes", "names.txt"),
        *("--size", "224x192", "--mean", "0.5, 0.4,0.3", "--std", "0.2", "--device", "cpu"),
        *("--max-images", "100"),
    )
    (options,) = loads
    assert (options.arch, options.model_def) == ("resnet18", "net.py:make")
    assert options.classes == Path("names.txt")
    assert (options.size, options.mean, options.std) == ((224, 192), (0.5, 0.4, 0.3), (0.2,))
    assert (options.device, options.max_images) == ("cpu", 100)


def test_what_is_not_stated_is_left_to_the_loader(call: Call, loads: list[Any]) -> None:
    call("--device", "cpu")
    assert loads == [LoadOptions()]


def test_a_single_size_is_square(call: Call, loads: list[Any]) -> None:
    call("--size", "32")
    assert loads[0].size == (32, 32)


def test_options_can_be_set_in_the_environment_and_the_command_line_wins(
    call: Call, loads: list[Any]
) -> None:
    result = call(BACKAUDIT_ARCH="vgg", BACKAUDIT_OUTPUT="json", BACKAUDIT_SEED="5")
    assert json.loads(result.stdout)["seed"] == 5
    call("--arch", "resnet18", BACKAUDIT_ARCH="vgg")
    assert [options.arch for options in loads] == ["vgg", "resnet18"]


def test_settings_and_seed_reach_the_record(call: Call) -> None:
    result = call("--set", "ban.restarts=8", "--seed", "3", "-o", "json")
    run = json.loads(result.stdout)["runs"][0]
    assert run["settings"] == {"score": 0.12, "restarts": 8}
    assert run["seed"] == 3


def test_threads(call: Call) -> None:
    before = torch.get_num_threads()
    try:
        assert call("--threads", "1").exit_code == 0
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_ctrl_c_leaves_one_line_and_no_file(
    call: Call, fakes: dict[str, Any], tmp_path: Path
) -> None:
    fakes["ban"] = Interrupted
    result = call("-o", "json=audit.json", "--save-calibration", "c.json")
    assert result.exit_code == 130
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "interrupted" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_a_suspect_that_was_modified_is_no_result(call: Call, fakes: dict[str, Any]) -> None:
    fakes["mm-bd"] = Meddles
    result = call()
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "of the suspect" in result.stderr


def test_a_refused_checkpoint_is_one_paragraph_that_cannot_fake_another(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise CheckpointError("evil\x1b[2J.pt is refused\nbackaudit: no evidence")

    monkeypatch.setattr(scan, "load", refuse)
    result = call()
    assert result.exit_code == 3
    assert result.stderr == "backaudit: evil\\x1b[2J.pt is refused\n  backaudit: no evidence\n"


def test_debug_logs_the_steps_to_standard_error(call: Call) -> None:
    result = call("--debug", "-o", "json")
    assert json.loads(result.stdout)
    assert "running ban" in result.stderr


def test_hostile_class_names_cannot_steer_the_terminal(
    call: Call, fakes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.audits import NAMES, clean_set, suspect

    names = (*NAMES[:5], "[bold red]x[/]\x1b]0;owned\x07' (class 1). SAFE '\u202e", *NAMES[6:])
    loaded = (suspect(names), clean_set())
    monkeypatch.setattr(scan, "load", lambda *given: loaded)
    fakes["ban"] = Found
    result = call()
    assert result.exit_code == 1
    assert "[bold red]x[/]" in result.stdout
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


def test_a_score_that_is_no_number_is_null_in_the_record(call: Call, fakes: dict[str, Any]) -> None:
    @dataclass(frozen=True)
    class Nan(Reads):
        """Reads nothing."""

        def detect(self, suspect: object, clean: object) -> Evidence:
            return Evidence(float("nan"), 0.31)

    fakes["ban"] = Nan
    result = call("-o", "json")
    assert json.loads(result.stdout)["runs"][0]["outcome"]["score"] is None
    assert result.exit_code == 4

"""What the README shows is real."""

import re
from pathlib import Path

from typer.testing import CliRunner

from backaudit import DETECTORS
from backaudit.cli.app import app
from backaudit.cli.exits import ExitCode
from backaudit.files.rules import FILE_RULES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_its_second_command_is_what_continuous_integration_runs() -> None:
    commands = re.findall(r"^\$ (.+)$", README, flags=re.MULTILINE)
    assert commands[0].startswith("backaudit scan ")
    assert commands[1] in (ROOT / ".ci/run").read_text().splitlines()


def test_every_option_it_names_exists() -> None:
    runner = CliRunner(env={"COLUMNS": "200"})
    commands = (
        "scan",
        "screen",
        "purify",
        "inspect",
        "zoo train",
        "zoo list",
        "bench detect",
        "bench screen",
        "bench purify",
    )
    help_text = "".join(runner.invoke(app, [*name.split(), "--help"]).output for name in commands)
    named = set(re.findall(r"`(--[a-z-]+)", README))
    assert named
    assert [option for option in sorted(named) if option not in help_text] == []


def test_every_detector_and_every_file_it_names_exists() -> None:
    for name in DETECTORS:
        assert f"`{name}`" in README
    for link in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / link).exists(), link


def test_every_rule_about_files_is_named() -> None:
    for rule in (each.rule for each in FILE_RULES.values()):
        assert f"| `{rule.id}` | {rule.name} |" in README


def test_its_exit_codes_are_those_of_the_program() -> None:
    for verdict, code in (("suspicious", ExitCode.FOUND), ("inconclusive", ExitCode.INCONCLUSIVE)):
        row = next(line for line in README.splitlines() if line.startswith(f"| `{verdict}`"))
        assert row.rstrip(" |").endswith(str(int(code)))

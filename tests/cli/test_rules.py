import pytest
from typer.testing import CliRunner, Result

from backaudit.cli.app import app
from backaudit.detectors import DETECTORS
from backaudit.files.rules import FILE_RULES
from backaudit.screeners import SCREENERS

pytestmark = pytest.mark.usefixtures("fakes")


def rules(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, ["rules", *arguments])


def test_the_list_names_every_rule() -> None:
    result = rules()
    assert result.exit_code == 0
    for name in (
        "BA001  unsafe-file",
        "BA004  deceptive-archive",
        "BA101  ban",
        "BA201  ibd-psc",
        "BA205  joint",
    ):
        assert name in result.stdout


@pytest.mark.parametrize("wanted", ["ban", "BA101", "ba101", "Ban"])
def test_a_rule_is_found_by_name_or_id(wanted: str) -> None:
    result = rules(wanted)
    assert result.exit_code == 0
    assert result.stdout.startswith("BA101  ban\n")
    assert "\nBlind to\n  whatever it does not see.\n" in result.stdout
    assert "  score = 0.12\n      what it reads, in [0, 1].\n" in result.stdout


@pytest.mark.parametrize("wanted", ["tsbd+uap-ft", "BA402+BA410"])
def test_what_runs_one_after_the_other_has_a_page_each(wanted: str) -> None:
    result = rules(wanted)
    assert result.exit_code == 0
    assert result.stdout.startswith("BA402  tsbd\n")
    assert result.stdout.index("\nBA410  uap-ft\n") < result.stdout.index("uap-ft.NAME=VALUE")


@pytest.mark.parametrize(
    ("wanted", "near"), [("bann", "'ban'"), ("BA109", "'BA10"), ("x", "Known")]
)
def test_an_unknown_rule_is_refused_with_the_nearest(wanted: str, near: str) -> None:
    result = rules(wanted)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert near in result.stderr


def test_every_real_rule_has_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backaudit.cli.rules.DETECTORS", DETECTORS)
    for name in DETECTORS:
        page = rules(name).stdout
        for heading in ("Score", "Needs", "Blind to", "Paper"):
            assert f"\n{heading}\n" in page, (name, heading)


def test_every_screener_has_a_page_with_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    # One that is a detector as well is shown as that.
    monkeypatch.setattr("backaudit.cli.rules.DETECTORS", {})
    for name, screener in SCREENERS.items():
        page = rules(name).stdout
        assert page.startswith(f"{screener.rule.id}  {name}\n")
        for heading in ("Score", "Needs", "Blind to", "Paper"):
            assert f"\n{heading}\n" in page, (name, heading)
    assert "(--set joint.NAME=VALUE)" in rules("BA205").stdout


@pytest.mark.parametrize("wanted", ["BA001", "unknown-code", "ba003", "Deceptive-Archive"])
def test_every_rule_about_files_has_a_page(wanted: str) -> None:
    page = rules(wanted).stdout
    assert page.startswith("BA00")
    for heading in ("Fires", "Why it matters", "Blind to"):
        assert f"\n{heading}\n" in page
    assert "Settings" not in page


def test_ids_and_names_are_used_once() -> None:
    known = [*FILE_RULES.values(), *DETECTORS.values()]
    assert len({each.rule.id for each in known}) == len(known)
    assert [each.rule.name for each in known] == [*FILE_RULES, *DETECTORS]

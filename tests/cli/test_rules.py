import pytest
from typer.testing import CliRunner, Result

from backaudit.cli.app import app
from backaudit.detectors import DETECTORS

pytestmark = pytest.mark.usefixtures("fakes")


def rules(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, ["rules", *arguments])


def test_the_list_names_every_rule() -> None:
    result = rules()
    assert result.exit_code == 0
    for line in ("BA101  ban", "BA102  mm-bd", "BA201  ibd-psc"):
        assert line in result.stdout


@pytest.mark.parametrize("wanted", ["ban", "BA101", "ba101", "Ban"])
def test_a_rule_is_found_by_name_or_id(wanted: str) -> None:
    result = rules(wanted)
    assert result.exit_code == 0
    assert result.stdout.startswith("BA101  ban\n")
    assert "\nBlind to\n  whatever it does not see.\n" in result.stdout
    assert "  score = 0.12\n      what it reads, in [0, 1].\n" in result.stdout


@pytest.mark.parametrize(("wanted", "near"), [("bna", "'ban'"), ("BA109", "'BA10"), ("x", "Known")])
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

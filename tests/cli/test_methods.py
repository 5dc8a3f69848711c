import pytest

from backaudit.cli.methods import chosen_detectors, left_out
from backaudit.core.errors import SettingError
from backaudit.core.evidence import NotApplicable
from tests.audits import Agrees, Calibrates, Reads

pytestmark = pytest.mark.usefixtures("fakes")


def test_all_detectors_run_by_default_in_the_order_of_the_list() -> None:
    assert chosen_detectors(None, ()) == (Reads(), Agrees(), Calibrates())


def test_named_detectors_keep_the_order_of_the_list() -> None:
    assert chosen_detectors(" mm-bd,ban ,ban", ()) == (Reads(), Agrees())


def test_settings_reach_their_detector() -> None:
    chosen = chosen_detectors(None, ["ban.restarts=8", "mm-bd.score=0.5"])
    assert chosen == (Reads(restarts=8), Agrees(score=0.5), Calibrates())


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        ("bna", (), "no detector 'bna'. Did you mean 'ban'"),
        (" , ", (), "names none"),
        ("", (), "names none"),
        (None, ["bann.restarts=8"], "no detector 'bann'. Did you mean 'ban'"),
        (None, ["ban.restart=8"], "Did you mean 'restarts'"),
        ("mm-bd", ["ban.restarts=8"], "--detectors leaves ban out"),
    ],
)
def test_what_makes_no_sense_is_refused(
    names: str | None, settings: list[str], message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        chosen_detectors(names, settings)


def test_what_is_left_out_is_accounted_for() -> None:
    runs = left_out((Agrees(),), seed=3)
    assert [run.rule.name for run in runs] == ["ban", "ibd-psc"]
    assert runs[0].outcome == NotApplicable("it was left out by --detectors.")


def test_nothing_is_left_out_by_default() -> None:
    assert left_out(chosen_detectors(None, ()), seed=0) == ()

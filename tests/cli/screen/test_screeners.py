import pytest

from backaudit.cli.screeners import chosen_calibrations, chosen_screeners
from backaudit.core.errors import SettingError
from backaudit.screeners import IBDPSC, STRIP, Joint
from tests.screenings import CALIBRATION


def test_the_published_settings_are_the_default() -> None:
    assert chosen_screeners(None, ()) == (IBDPSC(),)


@pytest.mark.parametrize("settings", [(), ("ibd-psc.depths=3",)])
def test_at_a_false_flag_rate_the_margin_scores(settings: tuple[str, ...]) -> None:
    (chosen,) = chosen_screeners(None, settings, 0.05)
    assert isinstance(chosen, IBDPSC)
    assert (chosen.score, chosen.threshold) == ("margin", None)
    assert chosen.depths == (3 if settings else IBDPSC().depths)


@pytest.mark.parametrize("setting", ["ibd-psc.score=psc", "ibd-psc.threshold=0.8"])
def test_a_score_or_threshold_of_the_users_own_stays(setting: str) -> None:
    (chosen,) = chosen_screeners(None, (setting,), 0.05)
    assert isinstance(chosen, IBDPSC)
    assert chosen.score == "psc"


def test_other_screeners_stay_as_published_at_a_false_flag_rate() -> None:
    assert chosen_screeners("strip", (), 0.05) == (STRIP(),)


def test_joint_takes_settings_of_its_own_and_none_of_its_parts() -> None:
    assert chosen_screeners("joint", ("joint.overlays=8",), 0.05) == (Joint(overlays=8),)
    assert chosen_screeners("joint,ibd-psc", ("ibd-psc.error=0.5",)) == (
        Joint(),
        IBDPSC(error=0.5),
    )
    with pytest.raises(SettingError, match="ibd-psc does not run"):
        chosen_screeners("joint", ("ibd-psc.score=margin",))
    with pytest.raises(SettingError, match=r"joint do not go together: overlays must be at least"):
        chosen_screeners("joint", ("joint.overlays=0",))


def test_no_name_is_refused_with_what_leaving_the_option_out_does() -> None:
    with pytest.raises(SettingError, match="leave it out for ibd-psc"):
        chosen_screeners(" , ", ())
    with pytest.raises(SettingError, match="leave it out for all of the calibration's"):
        chosen_calibrations(" , ", (CALIBRATION,))
    assert chosen_calibrations(None, (CALIBRATION,)) == (CALIBRATION,)

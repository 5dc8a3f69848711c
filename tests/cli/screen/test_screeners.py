import pytest

from backaudit.cli.screeners import chosen_screeners
from backaudit.screeners import IBDPSC, STRIP


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

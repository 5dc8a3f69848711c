import pytest

from backaudit.cli.purify import methods
from backaudit.cli.purify.methods import chosen_purifiers
from backaudit.core.errors import SettingError
from backaudit.purifiers import FT
from tests.purifications import FAKES, Repairs, Wrecks


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "PURIFIERS", FAKES)
    monkeypatch.setattr(methods, "AUTOMATIC", ("repairs", "wrecks", "not-there"))


def test_auto_takes_those_that_it_tries_in_their_order() -> None:
    assert chosen_purifiers("auto", ()) == (Repairs(), Wrecks())


def test_named_ones_are_taken_in_the_order_in_which_they_are_named_each_once() -> None:
    assert chosen_purifiers(" wrecks, repairs,wrecks", ()) == (Wrecks(), Repairs())


def test_settings_reach_their_method() -> None:
    assert chosen_purifiers("repairs", ("repairs.steps=9",)) == (Repairs(steps=9),)
    assert chosen_purifiers("auto", ("repairs.factor=0.5",))[0] == Repairs(factor=0.5)


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("repair", (), "Did you mean 'repairs'"),
        ("outo", (), "Did you mean 'auto'"),
        (",", (), "names none"),
        ("auto,repairs", (), "auto chooses by itself: name it alone in --method"),
        ("repairs", ("repairs.steps=-1",), "repairs.steps: -1 is too small; 0 is the least"),
        ("repairs", ("repairs.factor=-0.5",), "repairs.factor: -0.5 is too small"),
        ("repairs", ("wrecks.steps=1",), "wrecks does not run; name it in --method"),
        ("auto", ("falls.steps=1",), "falls does not run; name it in --method"),
        ("repairs", ("nothing.steps=1",), "no purifier 'nothing'"),
        ("repairs", ("repairs.step=1",), "Did you mean 'steps'"),
        ("repairs", ("repairs.steps=x",), "whole number"),
    ],
)
def test_what_is_unknown_or_has_no_effect_is_refused(
    method: str, settings: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SettingError, match=said):
        chosen_purifiers(method, settings)


def test_a_batch_has_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "PURIFIERS", {"ft": FT})
    with pytest.raises(SettingError, match=r"ft.batch_size: 0 is too small; 1 is the least"):
        chosen_purifiers("ft", ("ft.batch_size=0",))
    assert chosen_purifiers("ft", ("ft.batch_size=1",)) == (FT(batch_size=1),)

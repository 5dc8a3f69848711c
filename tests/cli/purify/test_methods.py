import pytest

from backaudit.cli.purify import methods
from backaudit.cli.purify.methods import chosen_purifiers
from backaudit.core.errors import SettingError
from backaudit.purifiers import FT
from backaudit.purifiers.in_turn import in_turn
from tests.purifications import FAKES, Repairs, Wrecks


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "PURIFIERS", FAKES)
    monkeypatch.setattr(methods, "AUTOMATIC", (Repairs(), Wrecks()))


def test_auto_takes_those_that_it_tries_in_their_order() -> None:
    assert chosen_purifiers("auto", ()) == (Repairs(), Wrecks())


def test_named_ones_are_taken_in_the_order_in_which_they_are_named_each_once() -> None:
    assert chosen_purifiers(" wrecks, repairs,wrecks", ()) == (Wrecks(), Repairs())


def test_settings_reach_their_method() -> None:
    assert chosen_purifiers("repairs", ("repairs.steps=9",)) == (Repairs(steps=9),)
    assert chosen_purifiers("auto", ("repairs.factor=0.5",))[0] == Repairs(factor=0.5)


def test_names_joined_by_a_plus_run_one_after_the_other() -> None:
    (both, alone) = chosen_purifiers("repairs+wrecks,repairs", ("repairs.steps=9",))
    assert both == in_turn([Repairs(steps=9), Wrecks()])
    assert alone == Repairs(steps=9)


def test_auto_sets_what_runs_one_after_the_other_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = in_turn([Repairs(factor=0.5), Wrecks()])
    monkeypatch.setattr(methods, "AUTOMATIC", (chain, Repairs()))
    first, second = chosen_purifiers("auto", ("repairs.steps=9",))
    assert first == in_turn([Repairs(factor=0.5, steps=9), Wrecks()])
    assert second == Repairs(steps=9)


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("repair", (), "Did you mean 'repairs'"),
        ("outo", (), "Did you mean 'auto'"),
        (",", (), "names none"),
        ("auto,repairs", (), "auto chooses by itself: name it alone in --method"),
        ("repairs+auto", (), "auto chooses by itself"),
        ("repairs+repair", (), "no purifier 'repair'. Did you mean 'repairs'"),
        ("repairs+", (), "no purifier ''"),
        ("repairs+wrecks+repairs", (), r"--method repairs\+wrecks\+repairs names a purifier twice"),
        ("repairs+wrecks", ("falls.steps=1",), "falls does not run"),
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

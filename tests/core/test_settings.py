from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import pytest

from backaudit.core.errors import SettingError
from backaudit.core.settings import (
    configured,
    did_you_mean,
    parse_value,
    split_names,
    split_settings,
)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Method:
    restarts: int = 4
    eps: float = 0.3
    budgets: tuple[float, ...] = (0.1, 0.3)
    corner: tuple[int, int] = (1, 2)
    balanced: bool = True
    layer: str | None = None
    limit: int | None = 3
    colour: Colour = Colour.RED
    mode: Literal["fast", "slow"] = "fast"
    derived: int = field(default=7, init=False)

    def __post_init__(self) -> None:
        if self.restarts < 1:
            raise ValueError("restarts must be at least 1")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("restarts", "8", 8),
        ("eps", "1e-2", 0.01),
        ("eps", "1", 1.0),
        ("budgets", "0.1, 0.2,0.4", (0.1, 0.2, 0.4)),
        ("budgets", "(0.5,)", (0.5,)),
        ("corner", "3,4", (3, 4)),
        ("balanced", "off", False),
        ("balanced", "TRUE", True),
        ("layer", "none", None),
        ("layer", "layer4", "layer4"),
        ("limit", "none", None),
        ("limit", "5", 5),
        ("colour", "blue", Colour.BLUE),
        ("mode", "slow", "slow"),
    ],
)
def test_text_becomes_a_value_of_the_fields_type(name: str, text: str, value: object) -> None:
    made = getattr(configured(Method(), "ban", {name: text}), name)
    assert made == value
    assert type(made) is type(value)


def test_fields_that_are_not_given_keep_their_defaults() -> None:
    assert configured(Method(), "ban", {"eps": "0.5"}) == Method(eps=0.5)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("restarts", "many", "a whole number"),
        ("restarts", "2.5", "a whole number"),
        ("eps", "nan", "a number"),
        ("eps", "inf", "a number"),
        ("budgets", "", "a list"),
        ("budgets", "0.1,x", "a list"),
        ("corner", "1,2,3", "a list"),
        ("balanced", "maybe", "true or false"),
        ("limit", "x", "a whole number or none"),
        ("colour", "green", "one of red, blue"),
        ("mode", "medium", "one of fast, slow"),
    ],
)
def test_text_of_another_type_is_refused_and_says_what_is_expected(
    name: str, text: str, expected: str
) -> None:
    with pytest.raises(SettingError, match=rf"ban\.{name}: .*{expected}"):
        configured(Method(), "ban", {name: text})


def test_an_unknown_field_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SettingError, match=r"no setting 'restart'\. Did you mean 'restarts'"):
        configured(Method(), "ban", {"restart": "8"})


def test_a_field_that_is_not_for_users_is_unknown() -> None:
    with pytest.raises(SettingError, match="no setting 'derived'"):
        configured(Method(), "ban", {"derived": "8"})


def test_a_value_out_of_range_is_a_setting_error() -> None:
    with pytest.raises(SettingError, match="restarts must be at least 1"):
        configured(Method(), "ban", {"restarts": "0"})


def test_a_name_near_to_none_lists_all() -> None:
    assert did_you_mean("zzz", ["b", "a"]) == "Known are: a, b."


def test_names_are_taken_in_their_order_each_once() -> None:
    assert split_names(" mm-bd, ban,,mm-bd ,", "--detectors", "all") == ("mm-bd", "ban")


@pytest.mark.parametrize("text", ["", " , ", ","])
def test_no_name_is_refused_with_what_leaving_the_option_out_does(text: str) -> None:
    with pytest.raises(SettingError, match="--detectors names none; leave it out for all of them"):
        split_names(text, "--detectors", "all of them")


def test_settings_are_sorted_by_method() -> None:
    texts = ["ban.eps=0.2", "mm-bd.steps = 50", "ban.restarts=8", "ban.layer=a=b"]
    assert split_settings(texts) == {
        "ban": {"eps": "0.2", "restarts": "8", "layer": "a=b"},
        "mm-bd": {"steps": "50"},
    }


@pytest.mark.parametrize("text", ["ban", "ban.eps", "eps=1", ".eps=1", "ban.=1", "=1", ""])
def test_a_setting_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"METHOD\.FIELD=VALUE"):
        split_settings([text])


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(SettingError, match=r"ban\.eps is given twice"):
        split_settings(["ban.eps=1", "ban.eps=2"])


def test_a_type_that_text_cannot_give_is_refused() -> None:
    with pytest.raises(SettingError, match="settable from text"):
        parse_value("x", "1", dict[str, int])

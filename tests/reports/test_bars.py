import io
import math

import pytest
from rich.console import Console

from backaudit.reports.bars import Bar, top_of


def drawn(bar: Bar, width: int = 20, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, color_system=None)
    with console.capture() as captured:
        console.print(bar)
    return captured.get().rstrip("\n")


def test_a_bar_is_as_long_as_its_value() -> None:
    assert drawn(Bar(0.5, 1.0)) == "█" * 10 + "░" * 10


def test_the_threshold_is_marked_inside_and_outside_the_bar() -> None:
    assert drawn(Bar(0.5, 1.0, 0.25)) == "█" * 5 + "┃" + "█" * 4 + "░" * 10
    assert drawn(Bar(0.25, 1.0, 0.5)) == "█" * 5 + "░" * 5 + "┃" + "░" * 9


@pytest.mark.parametrize(
    ("value", "cells"), [(math.nan, 0), (-3.0, 0), (0.0, 0), (math.inf, 20), (7.0, 20)]
)
def test_values_outside_the_scale_stay_inside_the_cell(value: float, cells: int) -> None:
    assert drawn(Bar(value, 1.0)) == "█" * cells + "░" * (20 - cells)


def test_a_mark_at_the_top_is_still_seen() -> None:
    assert drawn(Bar(0.0, 1.0, 5.0)) == "░" * 19 + "┃"


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert drawn(Bar(0.5, 1.0, 0.75), encoding="ascii") == "#" * 10 + "....." + "|" + "...."


def test_the_scale_has_room_for_all_values() -> None:
    assert top_of(0.4, 4.0, None, math.inf, math.nan) > 4.0
    assert top_of() > 0
    assert top_of(0.0) > 0
    assert top_of(-2.0) > 0

from xml.etree import ElementTree

import pytest

from backaudit.bench.tables.svg import document, text, ticks


def test_names_from_files_stay_names() -> None:
    root = ElementTree.fromstring(document("<i>", 30, 20, [text(1, 2, "<b>&\x1b[2J")]))  # noqa: S314
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "<i>"
    (line,) = root.findall("{http://www.w3.org/2000/svg}text")
    assert (line.text or "").startswith("<b>&")
    assert "\x1b" not in (line.text or "")
    assert (root.get("width"), root.get("height")) == ("30", "20")


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-4.56, 4.97, [-4, -2, 0, 2, 4]),
        (0.31, 0.49, [0.35, 0.4, 0.45]),
        (-30.0, 1200.0, [0, 500, 1000]),
    ],
)
def test_an_axis_is_marked_with_round_numbers(low: float, high: float, marks: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(marks)

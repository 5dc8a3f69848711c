import math
from xml.etree import ElementTree

import pytest

from backaudit.bench.roc import curve, picture, roc_points
from tests.bench.made import ATTACKED, BENIGN, result

SVG = "{http://www.w3.org/2000/svg}"


def test_points_by_hand() -> None:
    assert list(roc_points([0.1, 0.6], [0.9, 0.3])) == [
        (0.0, 0.0),
        (0.0, 0.5),
        (0.5, 0.5),
        (0.5, 1.0),
        (1.0, 1.0),
    ]


def test_a_tie_is_a_slope() -> None:
    assert list(roc_points([0.5], [0.5])) == [(0.0, 0.0), (1.0, 1.0)]


def test_what_has_no_score_comes_last() -> None:
    points = list(roc_points([0.1], [0.9, -math.inf]))
    assert points == [(0.0, 0.0), (0.0, 0.5), (1.0, 0.5), (1.0, 1.0)]


def test_the_area_below_the_points_is_the_area_that_is_named() -> None:
    drawn = curve("ban", [*BENIGN, *ATTACKED])
    steps = zip(drawn.points, drawn.points[1:], strict=False)
    below = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in steps)
    assert below == pytest.approx(drawn.area.value)
    assert drawn.at_threshold == (0.25, 0.75)


def test_the_picture_has_a_line_and_a_legend_for_each_method() -> None:
    curves = [curve(name, [*BENIGN, *ATTACKED]) for name in ("ban", "mm-bd")]
    root = ElementTree.fromstring(picture(curves, "ROC curves: 4 models"))  # noqa: S314
    lines = root.findall(f"{SVG}polyline")
    assert len({line.get("stroke") for line in lines}) == 2
    assert len({line.get("stroke-dasharray") for line in lines}) == 2
    assert len(root.findall(f"{SVG}circle")) == 2
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert "ROC curves: 4 models" in texts
    assert "false-alarm rate on benign models" in texts
    assert "detection rate on backdoored models" in texts
    assert sum("4 backdoored, 4 benign" in text for text in texts) == 2
    assert any(text.startswith("mm-bd: AUROC 0.812 (") for text in texts)


def test_everything_lies_inside_the_picture() -> None:
    drawn = picture([curve("targeted-noise", [*BENIGN, *ATTACKED])], "title")
    root = ElementTree.fromstring(drawn)  # noqa: S314
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    (line,) = root.findall(f"{SVG}polyline")
    for point in line.get("points", "").split():
        x, y = map(float, point.split(","))
        assert 0 < x < width
        assert 0 < y < height
    assert all(float(text.get("y", 0)) < height for text in root.findall(f"{SVG}text"))
    # A letter of this size takes seven pixels at most, on average.
    for text in root.findall(f"{SVG}text"):
        if text.get("text-anchor") == "start":
            assert float(text.get("x", 0)) + 7 * len(text.text or "") < width


def test_the_picture_needs_nothing_else() -> None:
    drawn = picture([curve("<ban> & \x1b[2J", BENIGN)], "one kind of model alone")
    assert "href" not in drawn
    assert "&lt;ban&gt; &amp;" in drawn
    assert "no curve (0 backdoored, 4 benign)" in drawn


def test_a_method_that_read_nothing_is_no_better_than_chance() -> None:
    unread = [result("b", None), result("a", None, "wanet")]
    assert curve("ban", unread).points == ((0.0, 0.0), (1.0, 1.0))

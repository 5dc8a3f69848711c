import math
from xml.etree import ElementTree

from backaudit.bench.tables.roc import Captions, Curve, picture, roc_points

SVG = "{http://www.w3.org/2000/svg}"
CAPTIONS = Captions("ROC curves: 4 models", "false alarms", "hits", "at the threshold")
POINTS = tuple(roc_points([0.1, 0.4, 0.6, 0.2], [0.9, 0.55, 0.3, 0.7]))


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


def test_the_picture_has_a_line_and_a_legend_for_each_curve() -> None:
    curves = [Curve(name, POINTS, (0.25, 0.75)) for name in ("ban: good", "mm-bd: better")]
    root = ElementTree.fromstring(picture(curves, CAPTIONS))  # noqa: S314
    lines = root.findall(f"{SVG}polyline")
    assert len({line.get("stroke") for line in lines}) == 2
    assert len({line.get("stroke-dasharray") for line in lines}) == 2
    assert len(root.findall(f"{SVG}circle")) == 2
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert {"ROC curves: 4 models", "false alarms", "hits", "circle: at the threshold"} <= set(
        texts
    )
    assert {"ban: good", "mm-bd: better"} <= set(texts)


def test_a_curve_without_a_threshold_has_no_mark() -> None:
    root = ElementTree.fromstring(picture([Curve("ban", POINTS)], CAPTIONS))  # noqa: S314
    assert root.findall(f"{SVG}circle") == []


def test_everything_lies_inside_the_picture() -> None:
    legend = "targeted-noise: AUROC 0.812 (0.41-0.97), 4 backdoored, 4 benign"
    drawn = picture([Curve(legend, POINTS, (0.25, 0.75))], CAPTIONS)
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
    drawn = picture([Curve("<ban> & \x1b[2J", ((0.0, 0.0),))], CAPTIONS)
    assert "href" not in drawn
    assert "&lt;ban&gt; &amp;" in drawn

from xml.etree import ElementTree

import pytest

from backaudit.bench.detection.curves import curve, curves_picture
from backaudit.bench.detection.figures import area
from tests.bench.made import ATTACKED, BENIGN, result

SVG = "{http://www.w3.org/2000/svg}"
RESULTS = [*BENIGN, *ATTACKED]


def texts(picture: str) -> list[str]:
    root = ElementTree.fromstring(picture)  # noqa: S314
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_the_area_below_the_points_is_the_area_that_is_named() -> None:
    drawn = curve("ban", RESULTS)
    steps = zip(drawn.points, drawn.points[1:], strict=False)
    below = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in steps)
    assert below == pytest.approx(area(RESULTS).value)
    assert drawn.legend.startswith("ban: AUROC 0.812 (")
    assert drawn.legend.endswith("4 backdoored, 4 benign")
    assert drawn.marked == (0.25, 0.75)


def test_each_method_has_its_own_curve() -> None:
    other = [each | {"method": "mm-bd"} for each in (*BENIGN, ATTACKED[0])]
    shown = texts(curves_picture([*RESULTS, *other], ["ban", "mm-bd"]))
    assert "ROC curves: 4 backdoored models, 4 benign, 1 seed" in shown
    assert "false-alarm rate on benign models" in shown
    assert "detection rate on backdoored models" in shown
    assert "circle: at the shipped threshold" in shown
    assert [text.split(":")[0] for text in shown if "AUROC" in text] == ["ban", "mm-bd"]


def test_one_kind_of_model_alone_has_no_curve() -> None:
    found = curve("ban", BENIGN)
    assert found.legend == "ban: no curve (0 backdoored, 4 benign)"
    assert found.marked is None


def test_a_method_that_read_nothing_is_no_better_than_chance() -> None:
    unread = [result("b", None), result("a", None, "wanet")]
    assert curve("ban", unread).points == ((0.0, 0.0), (1.0, 1.0))

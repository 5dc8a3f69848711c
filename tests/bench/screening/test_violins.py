import math
from xml.etree import ElementTree

from backaudit.bench.screening.violins import (
    BINS,
    CLEAN,
    HALF,
    LEFT,
    TRIGGERED,
    WIDTH,
    spreads,
    violins_picture,
)
from tests.bench.screening.made import screened

SVG = "{http://www.w3.org/2000/svg}"
RESULTS = [
    screened("b", [0.0, 0.0, 1.0]),
    screened("a", [0.0, 0.2], [1.0, -math.inf]),
    screened("a", [0.4, 0.4], [1.0, 1.0], seed=1),
    screened("a", [0.9, 0.9], [0.1, 0.1], method="strip"),
]


def polygons() -> list[tuple[str | None, list[tuple[float, float]]]]:
    root = ElementTree.fromstring(violins_picture(RESULTS, "ibd-psc"))  # noqa: S314
    found = []
    for shape in root.findall(f"{SVG}polygon"):
        points = [point.split(",") for point in (shape.get("points") or "").split()]
        found.append((shape.get("fill"), [(float(x), float(y)) for x, y in points]))
    return found


def test_seeds_of_a_model_are_drawn_together_and_other_screeners_elsewhere() -> None:
    benign, attacked = spreads(RESULTS[:3])
    assert (benign.label, attacked.label) == ("b", "a")
    assert attacked.clean.tolist() == [0.0, 0.2, 0.4, 0.4]
    assert len(benign.triggered) == 0
    assert [colour for colour, _ in polygons()] == [CLEAN, CLEAN, TRIGGERED]


def test_a_shape_is_a_histogram_and_its_mirror_image() -> None:
    _, shape = polygons()[0]
    xs, ys = [x for x, _ in shape], [y for _, y in shape]
    assert len(shape) == 4 * BINS
    assert (min(xs), max(xs)) == (LEFT, LEFT + WIDTH)
    middle = (min(ys) + max(ys)) / 2
    assert max(ys) - middle == HALF
    half = [round(middle - y, 1) for y in ys[: 2 * BINS : 2]]
    # Two of three scores lie in the first bin, one in the last.
    assert half == [HALF, *[0.0] * (BINS - 2), HALF / 2]
    assert ys[2 * BINS :] == [round(2 * middle - y, 1) for y in reversed(ys[: 2 * BINS])]


def test_an_image_without_a_score_lies_at_the_low_end() -> None:
    _, shape = polygons()[2]
    ys = [y for _, y in shape]
    assert ys[0] < ys[2] > ys[2 * BINS - 1]


def test_scores_that_are_all_the_same_are_drawn_too() -> None:
    result = screened("b", [0.5, 0.5])
    ElementTree.fromstring(violins_picture([result], "ibd-psc"))  # noqa: S314
    ElementTree.fromstring(violins_picture([], "ibd-psc"))  # noqa: S314


def texts(drawing: str) -> list[str]:
    root = ElementTree.fromstring(drawing)  # noqa: S314
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_the_axis_is_named_and_marked_with_round_numbers() -> None:
    said = texts(violins_picture([screened("b", [-4.56, 4.97])], "ibd-psc"))
    assert [each for each in said if each.lstrip("-").isdigit()] == ["-4", "-2", "0", "2", "4"]
    assert "score" in said


def test_a_long_name_of_a_model_stays_inside_the_picture() -> None:
    name = f"start-{'x' * 200}-end"
    shown = next(
        each for each in texts(violins_picture([screened(name, [0.1])], "ibd-psc")) if "x" in each
    )
    # A letter of this size takes six pixels at most, on average.
    assert 6 * len(shown) < LEFT
    assert shown.startswith("start-") and shown.endswith("-end")

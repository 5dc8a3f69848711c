"""ROC curves as a picture: one self-contained SVG file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backaudit.bench.tables.svg import document, text

Point = tuple[float, float]

# Of Okabe and Ito, for colour-blind readers; the dashes tell them apart in grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DASHES = ("none", "7 3", "2 2", "9 3 2 3", "5 5", "12 4", "4 2 1 2")
SIDE = 360
LEFT, TOP, RIGHT, BOTTOM = 60, 44, 140, 56
LINE = 18
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Curve:
    """The ROC curve of one method.

    Args:
        legend: what to say of it, such as the method's name and the area below.
        points: (share of the negatives, share of the positives), from (0, 0) to (1, 1).
        marked: a point to mark, such as that of the threshold; None for none.
    """

    legend: str
    points: tuple[Point, ...]
    marked: Point | None = None


@dataclass(frozen=True)
class Captions:
    """What is written around the curves.

    Args:
        title: above; names the numbers of cases.
        across: what the horizontal axis counts.
        up: what the vertical axis counts.
        mark: what a marked point is.
    """

    title: str
    across: str
    up: str
    mark: str


def roc_points(negatives: Sequence[float], positives: Sequence[float]) -> Iterator[Point]:
    """Yield the shares of either kind at or above a threshold that falls; ties make a slope.

    Args:
        negatives: scores of what should not be found.
        positives: scores of what should be.
    """
    yield 0.0, 0.0
    if not (negatives and positives):
        return
    for threshold in sorted({*negatives, *positives}, reverse=True):
        alarms = sum(score >= threshold for score in negatives)
        hits = sum(score >= threshold for score in positives)
        yield alarms / len(negatives), hits / len(positives)


def picture(curves: Sequence[Curve], captions: Captions) -> str:
    """Draw the curves into one SVG, with a legend below.

    Args:
        curves: one a method.
        captions: what is written around them.
    """
    width = LEFT + SIDE + RIGHT
    height = TOP + SIDE + BOTTOM + LINE * (len(curves) + 1)
    parts = [
        text(LEFT, TOP - 20, captions.title, size=13),
        *_axes(captions),
    ]
    for index, each in enumerate(curves):
        parts += _drawn(each, index)
    bottom = TOP + SIDE + BOTTOM + LINE * len(curves)
    parts.append(text(LEFT, bottom, f"circle: {captions.mark}", size=11))
    return document(captions.title, width, height, parts)


def _axes(captions: Captions) -> Iterator[str]:
    yield f'<g stroke="#dddddd">{"".join(_grid())}</g>'
    (x0, y0), (x1, y1) = _place((0, 0)), _place((1, 1))
    yield f'<path d="M{x0} {y0}L{x1} {y1}" stroke="#999999" stroke-dasharray="3 3"/>'
    yield f'<path d="M{x0} {y1}V{y0}H{x1}" stroke="#333333" fill="none"/>'
    for tick in TICKS:
        x, y = _place((tick, tick))
        yield text(x, y0 + 16, f"{tick:.1f}", anchor="middle")
        yield text(x0 - 8, y + 4, f"{tick:.1f}", anchor="end")
    yield text((x0 + x1) / 2, y0 + 34, captions.across, anchor="middle")
    middle = (y0 + y1) / 2
    label = text(0, 0, captions.up, anchor="middle")
    yield f'<g transform="translate({x0 - 42:g} {middle:g}) rotate(-90)">{label}</g>'


def _grid() -> Iterator[str]:
    (x0, y0), (x1, y1) = _place((0, 0)), _place((1, 1))
    for tick in TICKS:
        x, y = _place((tick, tick))
        yield f'<path d="M{x} {y0}V{y1}M{x0} {y}H{x1}"/>'


def _drawn(curve: Curve, index: int) -> Iterator[str]:
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    style = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
    path = " ".join(f"{x},{y}" for x, y in map(_place, curve.points))
    yield f'<polyline points="{path}" fill="none" {style}/>'
    if curve.marked:
        x, y = _place(curve.marked)
        yield f'<circle cx="{x}" cy="{y}" r="4" fill="#ffffff" stroke="{colour}" stroke-width="2"/>'
    y = TOP + SIDE + BOTTOM + LINE * index
    yield f'<path d="M{LEFT} {y - 4}h28" {style}/>'
    yield text(LEFT + 36, y, curve.legend)


def _place(point: Point) -> Point:
    return round(LEFT + SIDE * point[0], 1), round(TOP + SIDE * (1 - point[1]), 1)

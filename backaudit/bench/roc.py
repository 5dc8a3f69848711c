"""ROC curves as a picture: one self-contained SVG file."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from backaudit.bench.figures import Area, area, is_benign, is_called, ranked
from backaudit.bench.results import Record
from backaudit.core.printable import printable

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
        name: of the method.
        points: (false-alarm rate, detection rate), from (0, 0) to (1, 1).
        area: below it.
        at_threshold: the point of the shipped threshold; None without benign or backdoored models.
    """

    name: str
    points: tuple[Point, ...]
    area: Area
    at_threshold: Point | None


def curve(name: str, results: Sequence[Record]) -> Curve:
    """The ROC curve over results of one method; those without a score come last.

    Args:
        name: of the method.
        results: of benign and of backdoored models.
    """
    benign = [result for result in results if is_benign(result)]
    backdoored = [result for result in results if not is_benign(result)]
    called = [sum(map(is_called, part)) for part in (benign, backdoored)]
    at_threshold = None
    if benign and backdoored:
        at_threshold = called[0] / len(benign), called[1] / len(backdoored)
    points = tuple(roc_points(ranked(benign), ranked(backdoored)))
    return Curve(name, points, area(results), at_threshold)


def roc_points(benign: Sequence[float], backdoored: Sequence[float]) -> Iterator[Point]:
    """Yield (false-alarm rate, detection rate) as the threshold falls; ties make a slope."""
    yield 0.0, 0.0
    if not (benign and backdoored):
        return
    for threshold in sorted({*benign, *backdoored}, reverse=True):
        alarms = sum(score >= threshold for score in benign)
        hits = sum(score >= threshold for score in backdoored)
        yield alarms / len(benign), hits / len(backdoored)


def picture(curves: Sequence[Curve], title: str) -> str:
    """Draw the curves into one SVG, with a legend below.

    Args:
        curves: one a method.
        title: above the picture; names the numbers of models.
    """
    width = LEFT + SIDE + RIGHT
    height = TOP + SIDE + BOTTOM + LINE * (len(curves) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(LEFT, TOP - 20, title, size=13),
        *_axes(),
    ]
    for index, each in enumerate(curves):
        parts += _drawn(each, index)
    bottom = TOP + SIDE + BOTTOM + LINE * len(curves)
    parts.append(_text(LEFT, bottom, "circle: at the shipped threshold", size=11))
    return "\n".join([*parts, "</svg>", ""])


def _axes() -> Iterator[str]:
    yield f'<g stroke="#dddddd">{"".join(_grid())}</g>'
    (x0, y0), (x1, y1) = _place((0, 0)), _place((1, 1))
    yield f'<path d="M{x0} {y0}L{x1} {y1}" stroke="#999999" stroke-dasharray="3 3"/>'
    yield f'<path d="M{x0} {y1}V{y0}H{x1}" stroke="#333333" fill="none"/>'
    for tick in TICKS:
        x, y = _place((tick, tick))
        yield _text(x, y0 + 16, f"{tick:.1f}", anchor="middle")
        yield _text(x0 - 8, y + 4, f"{tick:.1f}", anchor="end")
    yield _text((x0 + x1) / 2, y0 + 34, "false-alarm rate on benign models", anchor="middle")
    middle = (y0 + y1) / 2
    label = _text(0, 0, "detection rate on backdoored models", anchor="middle")
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
    if curve.at_threshold:
        x, y = _place(curve.at_threshold)
        yield f'<circle cx="{x}" cy="{y}" r="4" fill="#ffffff" stroke="{colour}" stroke-width="2"/>'
    y = TOP + SIDE + BOTTOM + LINE * index
    yield f'<path d="M{LEFT} {y - 4}h28" {style}/>'
    yield _text(LEFT + 36, y, _legend(curve))


def _legend(curve: Curve) -> str:
    found = curve.area
    counts = f"{found.backdoored} backdoored, {found.benign} benign"
    if not math.isfinite(found.value):
        return f"{curve.name}: no curve ({counts})"
    low, high = found.interval
    return f"{curve.name}: AUROC {found.value:.3f} ({low:.2f}-{high:.2f}), {counts}"


def _place(point: Point) -> Point:
    return round(LEFT + SIDE * point[0], 1), round(TOP + SIDE * (1 - point[1]), 1)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    shown = escape(printable(text, 200))
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}">{shown}</text>'

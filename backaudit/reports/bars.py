"""Bars of characters: a length, and a mark where the threshold is."""

import math
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

MARGIN = 1.15


@dataclass(frozen=True)
class Bar:
    """A bar as wide as its cell.

    Args:
        value: how far it reaches; not a number reaches nowhere, infinity to the end.
        top: the value at full width, above 0.
        mark: where to draw the threshold; None for no mark.
        style: of the filled part.
    """

    value: float
    top: float
    mark: float | None = None
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        fill, rest, tick = "#.|" if options.ascii_only else "\u2588\u2591\u2503"
        reach = _cells(self.value, self.top, width)
        at = None if self.mark is None else min(_cells(self.mark, self.top, width), width - 1)
        filled, plain, marked = Style.parse(self.style), Style(dim=True), Style(bold=True)
        for cell in range(width):
            if cell == at:
                yield Segment(tick, marked)
            elif cell < reach:
                yield Segment(fill, filled)
            else:
                yield Segment(rest, plain)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(8, options.max_width)


def top_of(*values: float | None) -> float:
    """A scale that shows all of ``values``, with room to the right."""
    known = [abs(value) for value in values if value is not None and math.isfinite(value)]
    return MARGIN * max(known, default=1.0) or 1.0


def _cells(value: float, top: float, width: int) -> int:
    if math.isnan(value):
        return 0
    return round(width * min(max(value / top, 0.0), 1.0))

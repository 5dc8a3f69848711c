"""What every picture of results is made of: self-contained SVG."""

import math
from collections.abc import Iterable
from xml.sax.saxutils import escape

from backaudit.core.printable import printable

SLACK = 1e-9


def document(title: str, width: float, height: float, parts: Iterable[str]) -> str:
    """Put elements on a white page of so many pixels, with a title for who cannot see them."""
    page = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{_safe(title)}</title>",
        f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
    )
    return "\n".join([*page, *parts, "</svg>", ""])


def text(x: float, y: float, content: str, *, anchor: str = "start", size: int = 12) -> str:
    """Write a line; names in it come from files and stay harmless."""
    style = f'text-anchor="{anchor}" font-size="{size}"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{_safe(content)}</text>'


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``, which must be higher: ``most`` of them or fewer."""
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= rough * (1 - SLACK))
    first, last = math.ceil(low / step - SLACK), math.floor(high / step + SLACK)
    return [step * index for index in range(first, last + 1)]


def _safe(content: str) -> str:
    return escape(printable(content, 200))

"""What every picture of results is made of: self-contained SVG."""

from collections.abc import Iterable
from xml.sax.saxutils import escape

from backaudit.core.printable import printable


def document(width: float, height: float, parts: Iterable[str]) -> str:
    """Put elements on a white page of so many pixels."""
    page = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
    )
    return "\n".join([*page, *parts, "</svg>", ""])


def text(x: float, y: float, content: str, *, anchor: str = "start", size: int = 12) -> str:
    """Write a line; names in it come from files and stay harmless."""
    shown = escape(printable(content, 200))
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}">{shown}</text>'

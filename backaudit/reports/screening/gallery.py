"""The flagged pictures of a screening, as a part of its HTML page."""

import base64
from collections.abc import Iterator

from torch import Tensor

from backaudit.reports.screening import wording
from backaudit.reports.screening.markup import LONGEST_NAME, safe
from backaudit.reports.screening.pictures import LARGEST, png
from backaudit.reports.screening.report import Image, Screening
from backaudit.reports.wording import class_label, number

# Pictures with longer sides than these are shown larger, and smoothly.
PIXEL_ART = 160


def gallery(screening: Screening) -> str:
    """Each with its scores, the predicted class and its name; nothing without pictures."""
    if not screening.pictures:
        return ""
    shown, flagged = len(screening.pictures), screening.test.flagged
    side = max(max(pixels.shape) for _, pixels in screening.pictures)
    said = [
        "As the network sees them" + (f", shrunk to {LARGEST} pixels." if side > LARGEST else "."),
        f"Of {flagged:,}, the {shown} that score highest." if flagged > shown else "",
    ]
    figures = "\n".join(_figure(screening, *each) for each in screening.pictures)
    return (
        f"<h2>Flagged pictures</h2>\n<p>{' '.join(filter(None, said))}</p>\n"
        f'<div class="{"pictures large" if side > PIXEL_ART else "pictures"}">\n{figures}\n</div>'
    )


def _figure(screening: Screening, image: Image, pixels: Tensor) -> str:
    encoded = base64.b64encode(png(pixels)).decode("ascii")
    lines = (
        *_measured(image),
        class_label(screening.suspect, image.predicted_class),
        wording.short_path(screening, image.path),
    )
    caption = "".join(f"<div>{safe(line, LONGEST_NAME)}</div>" for line in lines)
    return (
        f'<figure><img alt="" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _measured(image: Image) -> Iterator[str]:
    p_value = f"p = {number(image.p_value)}"
    if len(image.scores) < 2:
        yield f"score {number(image.score)}, {p_value}"
        return
    for method, score in image.scores.items():
        yield f"{method} {number(score)}{' flags' if method in image.flagged_by else ''}"
    yield p_value

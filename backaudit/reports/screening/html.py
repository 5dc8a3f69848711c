"""A screening as one HTML page: no scripts, nothing loaded, flagged pictures in it."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from torch import Tensor

from backaudit.core.printable import printable
from backaudit.core.version import own_version
from backaudit.reports.screening import wording
from backaudit.reports.screening.pictures import png
from backaudit.reports.screening.report import Image, Screening
from backaudit.reports.wording import class_label, number

SHOWN_UNREADABLE = 20
# Whatever a name smuggles in, a browser loads nothing and runs nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; }
body { padding: 0 1rem; }
h1 { border-left: .4rem solid var(--result); padding-left: .8rem; }
dt { font-weight: 600; margin-top: .6rem; }
dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td { overflow-wrap: anywhere; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; }
figure { margin: 0; width: 9rem; }
figure img { width: 9rem; height: 9rem; object-fit: contain; image-rendering: pixelated; }
figcaption { font-size: .8rem; overflow-wrap: anywhere; }
.flagged { color: #c0182b; font-weight: 600; }
"""


def render(screening: Screening) -> str:
    """Write the page."""
    colour = "#c0182b" if screening.test.flagged else "#2b7a9b"
    parts = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width">\n'
        f"<title>{_text(wording.title(screening))}</title>\n<style>{STYLE}"
        f":root {{ --result: {colour}; }}</style>\n</head>\n<body>",
        f"<h1>{_text(wording.title(screening))}</h1>",
        f"<p><strong>{_text(wording.headline(screening))}</strong> "
        f"{_text(wording.meaning(screening))}</p>",
        _facts(screening),
        _gallery(screening),
        _scores(screening),
        _classes(screening),
        "</body>\n</html>\n",
    )
    return "\n".join(part for part in parts if part)


def _facts(screening: Screening) -> str:
    suspect = screening.suspect
    thresholds = [
        f"{each.method}: {wording.threshold(each, screening.tests[each.method])}"
        for each in screening.calibrations
    ]
    notes = [note for each in screening.calibrations for note in each.notes]
    facts = {
        "Model": [f"{suspect.path}, {suspect.architecture}", f"SHA-256 {suspect.sha256}"],
        "Images": wording.inputs(screening),
        "Not screened": wording.unreadable(screening, SHOWN_UNREADABLE),
        "Screeners": [*thresholds, *notes, f"calibrated by {screening.calibrated_by}"],
        "Amplified": wording.collapse(screening),
        "Ran": [
            *wording.passes(screening),
            f"backaudit {own_version()} on {suspect.device}, exit code "
            f"{screening.exit_code}; {wording.speed(screening)}",
        ],
    }
    return f"<dl>{''.join(_fact(name, list(said)) for name, said in facts.items())}</dl>"


def _fact(name: str, said: Sequence[str]) -> str:
    told = "".join(f"<dd>{_text(line)}</dd>" for line in said)
    return f"<dt>{_text(name)}</dt>{told}\n" if said else ""


def _gallery(screening: Screening) -> str:
    if not screening.pictures:
        return ""
    left_out = screening.test.flagged - len(screening.pictures)
    more = f" Of {screening.test.flagged:,}, the {len(screening.pictures)} that score highest."
    figures = "\n".join(_figure(screening, *each) for each in screening.pictures)
    return (
        f"<h2>Flagged pictures</h2>\n<p>As the network sees them.{more if left_out else ''}</p>\n"
        f'<div class="pictures">\n{figures}\n</div>'
    )


def _figure(screening: Screening, image: Image, pixels: Tensor) -> str:
    encoded = base64.b64encode(png(pixels)).decode("ascii")
    label = class_label(screening.suspect, image.predicted_class)
    path = wording.short_path(screening, image.path)
    return (
        f'<figure><img alt="" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{_text(number(image.score))}, {_text(label)}<br>{_text(path)}"
        "</figcaption></figure>"
    )


def _scores(screening: Screening) -> str:
    lines = (
        (
            (number(image.score), "number"),
            ("flagged" if image.flagged else "", "flagged"),
            (class_label(screening.suspect, image.predicted_class), ""),
            (wording.short_path(screening, image.path), ""),
        )
        for image in screening.highest
    )
    every = len(screening.highest) == screening.test.images
    title = "Scores" if every else "Highest scores"
    return _table(title, ("score", "", "predicted", "image"), lines)


def _classes(screening: Screening) -> str:
    lines = (
        (
            (class_label(screening.suspect, each.label), ""),
            (f"{each.flagged:,} of {each.images:,}", "number"),
            (f"{each.clean_flagged:,} of {each.clean_images:,}", "number"),
        )
        for each in screening.per_class
    )
    return _table("By predicted class", ("predicted", "flagged", "of clean images"), lines)


def _table(title: str, heads: Sequence[str], lines: Iterable[Iterable[tuple[str, str]]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    body = "\n".join(f"<tr>{''.join(_cell(*cell) for cell in line)}</tr>" for line in lines)
    return f"<h2>{_text(title)}</h2>\n<table>\n<tr>{head}</tr>\n{body}\n</table>" if body else ""


def _cell(value: str, kind: str) -> str:
    return f'<td class="{kind}">{_text(value)}</td>'


def _text(value: object) -> str:
    """Harmless in HTML, in an attribute as well, and without characters that steer the text."""
    return escape(printable(value, 300))

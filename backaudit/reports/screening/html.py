"""A screening as one HTML page: no scripts, nothing loaded, flagged pictures in it."""

from collections.abc import Iterable, Mapping
from pathlib import PurePath

from backaudit.core.printable import counted, printable
from backaudit.core.version import own_version
from backaudit.reports.screening import wording
from backaudit.reports.screening.gallery import gallery
from backaudit.reports.screening.markup import LONGEST_NAME, listed, safe, table
from backaudit.reports.screening.report import Screening
from backaudit.reports.screening.style import STYLE
from backaudit.reports.wording import class_label, number

SHOWN_UNREADABLE = 20
SHOWN_CLASSES = 10
# Whatever a name smuggles in, a browser loads nothing and runs nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"


def render(screening: Screening) -> str:
    """Write the page."""
    title = wording.title(screening)
    model = PurePath(screening.suspect.path).name
    result, meaning = wording.headline(screening), wording.meaning(screening)
    if screening.test.flagged:
        # The heading names the other half.
        result = f"{wording.expected(screening)}."
    parts = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(title)}: {safe(model)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f'<body class="{wording.urgency(screening)}">',
        f"<h1>{safe(title)}</h1>",
        f"<p><strong>{safe(result)}</strong></p>",
        f"<p>{safe(meaning)}</p>" if meaning else "",
        listed(_facts(screening)),
        _classes(screening),
        gallery(screening),
        _scores(screening),
        f"<h2>How it was done</h2>\n{listed(_circumstances(screening))}",
        "</body>\n</html>\n",
    )
    return "\n".join(part for part in parts if part)


def _facts(screening: Screening) -> Mapping[str, Iterable[str]]:
    suspect, first = screening.suspect, screening.calibrations[0]
    thresholds = (
        f"{each.method}: {wording.threshold(each, screening.tests[each.method])}"
        for each in screening.calibrations
    )
    return {
        "Model": (
            f"{printable(suspect.path, LONGEST_NAME)}, {suspect.architecture}",
            f"SHA-256 {suspect.sha256}",
        ),
        "Images": wording.inputs(screening),
        "Screeners": (
            *thresholds,
            *(note for each in screening.calibrations for note in each.notes),
            f"p of an image: how often a clean one scores as high, for {first.method}",
            f"calibrated by {screening.calibrated_by}",
        ),
        "Amplified": wording.collapse(screening),
    }


def _circumstances(screening: Screening) -> Mapping[str, Iterable[str]]:
    settings = (
        f"{each.method}: {', '.join(f'{name} {value}' for name, value in each.settings.items())}"
        for each in screening.calibrations
    )
    return {
        "Not screened": wording.unreadable(screening, SHOWN_UNREADABLE),
        "Settings": settings,
        "Ran": (
            *wording.passes(screening),
            f"backaudit {own_version()} on {screening.suspect.device}, exit code "
            f"{screening.exit_code}; {wording.speed(screening)}",
        ),
    }


def _classes(screening: Screening) -> str:
    flagged = wording.flagged_classes(screening)
    lines = [
        (
            (class_label(screening.suspect, each.label), "class"),
            (f"{each.flagged:,} of {each.images:,}", "number"),
            (f"{each.clean_flagged:,} of {each.clean_images:,}", "number"),
        )
        for each in flagged[:SHOWN_CLASSES]
    ]
    more = len(flagged) - SHOWN_CLASSES
    said = f"\n<p>and {more:,} more classes; `-o json` has all</p>" if more > 0 else ""
    heads = (("predicted", "class"), ("flagged", "number"), ("clean images flagged", "number"))
    return table("Flagged by predicted class", heads, lines) + said


def _scores(screening: Screening) -> str:
    """What scored high without being flagged; the flagged images have their pictures."""
    lines = [
        (
            (number(image.score), "number"),
            (number(image.p_value), "number"),
            (class_label(screening.suspect, image.predicted_class), "class"),
            (wording.short_path(screening, image.path), ""),
        )
        for image in screening.highest
        if not image.flagged
    ]
    heads = (("score", "number"), ("p", "number"), ("predicted", "class"), ("image", ""))
    return table(f"Not flagged: {_which(screening, len(lines))}", heads, lines)


def _which(screening: Screening, shown: int) -> str:
    others = screening.test.images - screening.test.flagged
    return f"the highest scores of {counted(others, 'image')}" if shown < others else "all scores"

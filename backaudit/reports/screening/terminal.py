"""A screening on one page for a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from backaudit.core.printable import printable
from backaudit.core.version import own_version
from backaudit.reports.layout import as_text, banner, rows
from backaudit.reports.screening import wording
from backaudit.reports.screening.report import Image, Screening
from backaudit.reports.wording import class_label, number

SHOWN_CLASSES = 12
SHOWN_UNREADABLE = 5
COLOURS = {"alarm": "red", "doubt": "yellow", "calm": "cyan"}


def render(screening: Screening) -> str:
    """The page as plain text, for a file."""
    return as_text(page(screening))


def page(screening: Screening) -> RenderableType:
    """Lay out the page."""
    unreadable = list(wording.unreadable(screening, SHOWN_UNREADABLE))
    collapse = list(wording.collapse(screening))
    return Group(
        banner(
            wording.title(screening),
            COLOURS[wording.urgency(screening)],
            wording.headline(screening),
            wording.meaning(screening),
        ),
        rows("Model", f"{printable(screening.suspect.path, 120)}, {_architecture(screening)}"),
        rows("Images", *wording.inputs(screening)),
        *([rows(Text("Not screened", "bold red"), *unreadable)] if unreadable else []),
        rows("Screeners", *_screeners(screening)),
        Text(),
        *_scores(screening),
        *_classes(screening),
        *([rows("Amplified", *collapse)] if collapse else []),
        rows("Ran", *_circumstances(screening)),
    )


def _architecture(screening: Screening) -> str:
    return printable(screening.suspect.architecture)


def _screeners(screening: Screening) -> list[str]:
    said = []
    for each in screening.calibrations:
        text = wording.threshold(each, screening.tests[each.method])
        said.append(f"{each.method}: {text}")
        said += [printable(note, 300) for note in each.notes]
    return [*said, f"calibrated by {printable(screening.calibrated_by, 160)}"]


def _scores(screening: Screening) -> list[RenderableType]:
    if not screening.highest:
        return []
    return [rows(_scores_label(screening), _score_table(screening, screening.highest)), Text()]


def _scores_label(screening: Screening) -> str:
    return "Scores" if len(screening.highest) == screening.test.images else "Highest\nscores"


def _score_table(screening: Screening, images: Sequence[Image]) -> RenderableType:
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    for name, justify in (("score", "right"), ("", "left"), ("predicted", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("image", ratio=1, overflow="fold")
    for image in images:
        table.add_row(
            number(image.score),
            Text("FLAGGED", "bold red") if image.flagged else "",
            Text(class_label(screening.suspect, image.predicted_class)),
            Text(printable(wording.short_path(screening, image.path), 120)),
        )
    return table


def _classes(screening: Screening) -> list[RenderableType]:
    flagged = wording.flagged_classes(screening)
    if not flagged:
        return []
    table = Table.grid(padding=(0, 2))
    for each in flagged[:SHOWN_CLASSES]:
        table.add_row(Text(class_label(screening.suspect, each.label)), wording.share(each))
    more = len(flagged) - SHOWN_CLASSES
    said = [f"and {more} more classes; `-o json` has all"] if more > 0 else []
    return [rows("Flagged by\npredicted\nclass", table, *said), Text()]


def _circumstances(screening: Screening) -> list[str]:
    return [
        *wording.passes(screening),
        f"backaudit {own_version()} on {screening.suspect.device}, exit code "
        f"{screening.exit_code}; {wording.speed(screening)}",
    ]

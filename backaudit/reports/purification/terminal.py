"""A purification on one page for a terminal."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from backaudit.core.measured import ClassShare, Measured
from backaudit.core.printable import printable
from backaudit.core.purification import Candidate, Purification, Result
from backaudit.core.version import own_version
from backaudit.reports.layout import LABELS, as_text, banner, rows
from backaudit.reports.purification import wording
from backaudit.reports.wording import class_label, is_fired

SHOWN_CLASSES = 5

# None is green: none of them says that a model is safe.
COLOURS = {
    Result.PURIFIED: "cyan",
    Result.STILL_FOUND: "red",
    Result.INCONCLUSIVE: "magenta",
    Result.TOO_INACCURATE: "yellow",
    Result.NOTHING_FOUND: "cyan",
}


def render(made: Purification) -> str:
    """The page as plain text, for a file."""
    return as_text(page(made))


def page(made: Purification) -> RenderableType:
    """Lay out the page."""
    return Group(
        banner(
            wording.title(made), COLOURS[made.result], wording.headline(made), wording.why(made)
        ),
        rows("Model", f"{printable(made.suspect.path, 120)} ({printable(made.suspect.format)})"),
        rows("SHA-256", printable(made.suspect.sha256)),
        *_output(made),
        rows("Images", *_images(made)),
        *_rows("Scan", wording.scanned(made)),
        *_method(made),
        Text(),
        _compared(made),
        *_classes(made),
        Text(),
        *_rows("Tried", _tried(made)),
        *_rows(Text("Warning", "bold yellow"), map(_safe, wording.warnings(made))),
        *_rows("Not known", wording.not_known(made)),
        *_rows("Next", wording.advice(made)),
        rows("Ran", _circumstances(made)),
    )


def _rows(label: str | Text, lines: Iterator[str]) -> list[RenderableType]:
    found = list(lines)
    return [rows(label, *found)] if found else []


def _safe(text: str) -> str:
    return printable(text, 400)


def _output(made: Purification) -> list[RenderableType]:
    output = made.output
    if output is None:
        return []
    if not output.written:
        return [rows("Output", f"{printable(output.path, 120)} was not written")]
    return [
        rows("Output", printable(output.path, 120), *map(_safe, output.notes)),
        rows("SHA-256", printable(output.sha256)),
        rows("", f"how it was made: {printable(output.path, 120)}.purify.json"),
    ]


def _images(made: Purification) -> list[str]:
    split, clean = made.split, made.clean
    kind = "labelled" if clean.labelled else "without labels"
    return [
        f"{len(clean)} {kind}, from {printable(clean.source, 120)}",
        f"{len(split.fit)} to train on, {len(split.validation)} to choose by, {len(split.test)} "
        f"to measure accuracy on; the detectors look at {len(split.held_out)}",
        *([f"with the trigger: {printable(made.trigger, 200)}"] if made.trigger else []),
    ]


def _method(made: Purification) -> list[RenderableType]:
    method = made.method
    if method is None:
        return []
    return [rows("Method", f"{method.rule.name}, {method.seconds:.0f} s", method.rule.title)]


def _compared(made: Purification) -> RenderableType:
    """What was measured, before and after."""
    before, after = made.before, made.after
    table = Table(box=None, pad_edge=False, expand=True, padding=(0, 1, 0, 0))
    table.add_column("", width=LABELS, style="bold")
    for name in ("before", "after") if after else ("measured",):
        table.add_column(name, ratio=1, header_style="dim")
    sides = (before, after) if after else (before,)
    word = "Accuracy" if made.clean.labelled else "Agreement"
    table.add_row(word, *(Text(wording.share(each.accuracy)) for each in sides))
    if after:
        table.add_row("", Text(wording.changes(made, after), "dim"), "")
    for name, values in _readings(made, sides):
        table.add_row(Text(name), *values)
    return table


def _readings(
    made: Purification, sides: tuple[Measured, ...]
) -> Iterator[tuple[str, list[RenderableType]]]:
    yield "Verdict", [Text(wording.verdict(each, made)) for each in sides]
    for runs in zip(*(each.runs for each in sides), strict=True):
        said = [wording.reading(run, made.suspect) for run in runs]
        styles = ["red" if is_fired(run) else "" for run in runs]
        yield runs[0].rule.name, [Text(*each) for each in zip(said, styles, strict=True)]
    attacks = [each.attack for each in sides if each.attack is not None]
    if attacks:
        yield "Trigger works", [Text(wording.share(attack.success)) for attack in attacks]
    recovered = [attack.recovered for attack in attacks if attack.recovered is not None]
    if recovered:
        yield "Trigger: right", [Text(wording.share(each)) for each in recovered]


def _classes(made: Purification) -> list[RenderableType]:
    """The classes whose accuracy changed most, worst first."""
    if made.after is None:
        return []
    pairs = list(zip(made.before.per_class, made.after.per_class, strict=True))
    changed = [pair for pair in pairs if pair[0].share.hits != pair[1].share.hits]
    changed.sort(key=_gain)
    lines = [_class(made, pair) for pair in changed[:SHOWN_CLASSES]]
    more = len(changed) - SHOWN_CLASSES
    if more > 0:
        lines.append(f"and {more} more; `--report json` has all")
    if not lines:
        lines = [f"no class of {len(pairs)} changed"]
    return [rows("By class", *lines)]


def _gain(pair: tuple[ClassShare, ClassShare]) -> float:
    return pair[1].share.rate - pair[0].share.rate


def _class(made: Purification, pair: tuple[ClassShare, ClassShare]) -> str:
    before, after = pair[0].share, pair[1].share
    label = class_label(made.suspect, pair[0].label)
    return f"{label}: {before.hits} of {before.images} before, {after.hits} after"


def _tried(made: Purification) -> Iterator[str]:
    if len(made.tried) < 2:
        return
    for index, each in enumerate(made.tried):
        chosen = ", taken" if index == made.chosen and isinstance(each.outcome, Candidate) else ""
        yield f"{each.rule.name}: {wording.tried(each)}{chosen}"


def _circumstances(made: Purification) -> str:
    return (
        f"backaudit {own_version()} on {made.suspect.device}, seed {made.seed}, exit code "
        f"{made.result.exit_code}; {made.seconds:.0f} s"
    )

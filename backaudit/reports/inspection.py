"""The page of ``inspect``: what a file holds and what it names, the dangerous first."""

from collections.abc import Iterable, Sequence
from itertools import islice

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from backaudit.core.printable import counted, printable
from backaudit.core.version import own_version
from backaudit.files.contents import GlobalUse, Level, Survey
from backaudit.files.rules import HARMLESS_REBUILD, UNKNOWN_CODE, UNSAFE_FILE
from backaudit.loading.inspection.inspection import Inspection
from backaudit.reports import contents, findings
from backaudit.reports.layout import argument, as_text, banner, rows

RULES = {
    Level.DANGEROUS: UNSAFE_FILE,
    Level.UNKNOWN: UNKNOWN_CODE,
    Level.HARMLESS: HARMLESS_REBUILD,
}
STYLES = {Level.DANGEROUS: "bold red", Level.UNKNOWN: "yellow", Level.HARMLESS: "dim"}
# What was found -> the banner's colour. None is green: nothing here says that a file is safe.
COLOURS = {
    "unsafe": "red",
    "unreadable": "magenta",
    "unknown-code": "yellow",
    "nothing-unsafe": "cyan",
}
TITLES = {
    "unsafe": findings.TITLE,
    "unreadable": "cannot be read",
    "unknown-code": "names unknown code",
    "nothing-unsafe": "inspected",
}
SHOWN_DANGEROUS = 25
SHOWN_UNKNOWN = 8
SHOWN_HARMLESS = 12
SHOWN_METADATA = 12
VALUE = 90


def result(survey: Survey) -> str:
    """What was found, in a word: a key of ``TITLES``, the worst first."""
    if survey.unsafe:
        return "unsafe"
    if survey.contents.problem:
        return "unreadable"
    unknown = any(use.level is not Level.HARMLESS for use in survey.contents.uses)
    return "unknown-code" if unknown else "nothing-unsafe"


def headline(survey: Survey) -> str:
    """What was found, in a sentence."""
    match result(survey):
        case "unsafe":
            return findings.headline(survey)
        case "unreadable":
            return f"The file {printable(survey.contents.problem, 400)}."
        case "unknown-code":
            return "Loading this file in the usual way would import code that is not known here."
    return "Nothing unsafe was found in this file."


def render(inspection: Inspection, exit_code: int) -> str:
    """The page as plain text, for a file."""
    return as_text(page(inspection, exit_code))


def page(inspection: Inspection, exit_code: int) -> RenderableType:
    """Lay out the page."""
    survey = inspection.survey
    found = result(survey)
    return Group(
        banner(TITLES[found], COLOURS[found], headline(survey), _remark(found)),
        *_finding_rows(survey),
        rows("File", printable(survey.path, 120), contents.form(survey)),
        rows("SHA-256", printable(survey.sha256)),
        rows("Size", _size(survey)),
        *_network(inspection),
        *_metadata(inspection),
        *_code(survey.contents.uses),
        *_notes(inspection),
        *_next(survey),
        rows("Ran", f"backaudit {own_version()}, exit code {exit_code}"),
    )


def _remark(found: str) -> str:
    match found:
        case "unsafe":
            return "None of it was executed or imported here."
        case "unreadable":
            return "What could be told up to there follows; nothing of it was executed."
    return (
        "Nothing of it was executed or imported. Whether the network has a backdoor is another "
        "question: `backaudit scan`."
    )


def _finding_rows(survey: Survey) -> list[RenderableType]:
    # Unknown and harmless names have a list of their own below.
    kept = [
        finding
        for finding in survey.contents.findings
        if finding.unsafe or finding.rule not in (UNKNOWN_CODE, HARMLESS_REBUILD)
    ]
    return [*findings.finding_rows(kept), Text()] if kept else []


def _size(survey: Survey) -> str:
    told, exact = contents.size(survey.size), counted(survey.size, "byte")
    count = len(survey.contents.files)
    kind = "with {} beside it" if survey.format == "onnx" else "in {}"
    files = f", {kind.format(counted(count, 'file'))}" if count else ""
    return f"{told}{files}" if told == exact else f"{told} ({exact}){files}"


def _network(inspection: Inspection) -> list[RenderableType]:
    outlook = inspection.outlook
    shown: list[RenderableType] = [Text()]
    if outlook is not None:
        found = [contents.network(outlook.architecture)]
        if outlook.architecture.others:
            others = ", ".join(printable(name) for name in outlook.architecture.others[:4])
            found.append(f"The same tensors fit {others} too.")
        shown.append(rows("Network", *found))
    if inspection.operators:
        shown.append(rows("Graph", contents.graph(inspection.operators)))
    if inspection.tensors.count:
        told = [contents.amount(inspection.tensors), contents.where_weights_lie(inspection)]
        shown.append(rows("Tensors", *filter(None, told)))
        shown.append(rows("Normalisation", contents.normalisation(inspection)))
    for label, text in (
        ("Classes", contents.classes(inspection)),
        ("Images", contents.images(inspection)),
    ):
        if text:
            shown.append(rows(label, text))
    return shown if len(shown) > 1 else []


def _metadata(inspection: Inspection) -> list[RenderableType]:
    outlook = inspection.outlook
    found = outlook.metadata if outlook is not None else inspection.survey.contents.metadata
    if not found:
        return []
    table = Table.grid(padding=(0, 2))
    table.add_column(max_width=24, no_wrap=True, overflow="ellipsis")
    table.add_column(overflow="fold")
    facts = list(contents.facts(found))
    for name, value in facts[:SHOWN_METADATA]:
        table.add_row(Text(printable(name)), Text(printable(value, VALUE)))
    more = len(facts) - SHOWN_METADATA
    return [
        rows("Metadata", table, *([f"and {more} more; `-o json` has all."] if more > 0 else []))
    ]


def _code(uses: Sequence[GlobalUse]) -> list[RenderableType]:
    if not uses:
        return []
    shown: list[RenderableType] = [
        Text(),
        rows("Code", Text("what a loader would import and call; nothing was, here", "dim")),
    ]
    for level in (Level.DANGEROUS, Level.UNKNOWN):
        shown += _listed(level, contents.grouped([use for use in uses if use.level is level]))
    harmless = contents.grouped([use for use in uses if use.level is Level.HARMLESS])
    if harmless:
        first = islice(harmless.items(), SHOWN_HARMLESS)
        names = ", ".join(contents.times(printable(name, 120), len(group)) for name, group in first)
        if len(harmless) > SHOWN_HARMLESS:
            names += f" and {len(harmless) - SHOWN_HARMLESS} more"
        label = f"{RULES[Level.HARMLESS].id} harmless"
        shown.append(rows(Text(label, STYLES[Level.HARMLESS]), names))
    return shown


def _listed(level: Level, groups: dict[str, list[GlobalUse]]) -> Iterable[RenderableType]:
    most = SHOWN_DANGEROUS if level is Level.DANGEROUS else SHOWN_UNKNOWN
    label = Text(RULES[level].id, STYLES[level])
    for name, group in islice(groups.items(), most):
        detail = Text(f"{printable(group[0].why, 120)}; {contents.place(group[0])}", "dim")
        yield rows(
            label, Text(contents.times(printable(name, 120), len(group)), STYLES[level]), detail
        )
    if len(groups) > most:
        yield rows("", f"and {len(groups) - most} more; `-o json` has all.")


def _notes(inspection: Inspection) -> list[RenderableType]:
    outlook = inspection.outlook
    notes = [*inspection.survey.contents.notes, *(outlook.notes if outlook is not None else ())]
    return [Text(), rows("Notes", *(printable(note, 300) for note in notes))] if notes else []


def _next(survey: Survey) -> list[RenderableType]:
    scan = f"backaudit scan {argument(survey.path)} --clean FOLDER"
    match result(survey):
        case "unsafe":
            advice = findings.advice(survey)
        case "unreadable":
            return [Text()]
        case "unknown-code":
            advice = [scan, "What unknown code means: `backaudit rules BA002`."]
        case _:
            advice = [scan]
    return [Text(), rows("Next", *advice)]

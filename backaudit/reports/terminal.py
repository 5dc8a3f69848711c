"""The report for a terminal: one screen that needs no paper to be understood."""

import math

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from backaudit.core.evidence import Evidence, Failed, NotApplicable, Run
from backaudit.core.printable import printable
from backaudit.core.verdict import Audit, Verdict
from backaudit.core.version import own_version
from backaudit.reports import refusal, wording
from backaudit.reports.bars import Bar, top_of
from backaudit.reports.calibration import calibration_run
from backaudit.reports.firewall import describe
from backaudit.reports.layout import LABELS, as_text, banner, rows
from backaudit.reports.report import Refusal, Report

SHOWN_CLASSES = 3
SHOWN_FINDINGS = 3

# No verdict is green: none of them says that a model is safe.
COLOURS = {
    Verdict.BACKDOORED: "red",
    Verdict.SUSPICIOUS: "yellow",
    Verdict.NO_EVIDENCE: "cyan",
    Verdict.INCONCLUSIVE: "magenta",
}


def render(report: Report | Refusal) -> str:
    """The report as plain text, for a file."""
    return as_text(page(report))


def page(report: Report | Refusal) -> RenderableType:
    """Lay out the report."""
    return refusal.page(report) if isinstance(report, Refusal) else _audit_page(report)


def _audit_page(report: Report) -> RenderableType:
    audit = report.audit
    common = _common_provenance(audit)
    evidence = [_evidence(audit, run, common) for run in wording.model_level(audit)]
    remark = Text("the bar is the score, the mark on it is the threshold", "dim")
    return Group(
        _banner(audit),
        rows("Model", *_model(audit)),
        rows("SHA-256", printable(audit.suspect.sha256)),
        *_file(audit),
        rows("Images", *_images(audit)),
        Text(),
        rows("Evidence", remark, *([_threshold_origin("Thresholds", common)] if common else [])),
        *evidence,
        *_classes(audit),
        Text(),
        *_firewall(audit),
        rows("Assumed", *_assumed(audit)),
        rows("Not checked", *_not_checked(report)),
        rows("Next", *wording.advice(audit)),
        rows("Ran", *_circumstances(report)),
    )


def _banner(audit: Audit) -> RenderableType:
    verdict = audit.judgement.verdict
    return banner(verdict.value, COLOURS[verdict], wording.headline(audit), wording.because(audit))


def _model(audit: Audit) -> list[str]:
    suspect = audit.suspect
    return [f"{printable(suspect.path, 120)} ({printable(suspect.format)})"]


def _file(audit: Audit) -> list[RenderableType]:
    """What was found in the file and does not keep it from being audited."""
    found = wording.noteworthy(audit.suspect.findings)
    told = [printable(finding.message, 300) for finding in found[:SHOWN_FINDINGS]]
    if len(found) > SHOWN_FINDINGS:
        told.append(f"and {len(found) - SHOWN_FINDINGS} more: `backaudit inspect` lists them.")
    return [rows("File", *told, "Nothing of it was imported here.")] if told else []


def _images(audit: Audit) -> list[str]:
    clean = audit.clean
    kind = "labelled" if clean.labelled else "without labels (the model's own answers stand in)"
    return [
        f"{len(clean)} {kind}, from {printable(clean.source, 120)}",
        f"accuracy {wording.accuracy(clean)}",
    ]


def _assumed(audit: Audit) -> list[str]:
    suspect, how = audit.suspect, audit.suspect.preprocessing
    channels, height, width = suspect.image_shape
    return [
        f"network: {printable(suspect.architecture)}, {suspect.num_classes} classes, "
        f"{channels}x{height}x{width} pixels",
        f"pixels: {printable(how.name)}, {printable(how.how, 200)}",
        f"classes: {printable(audit.clean.class_matching, 200)}",
        *(printable(assumption, 200) for assumption in suspect.assumptions),
    ]


def _common_provenance(audit: Audit) -> str:
    """Where all the thresholds came from, if they came from one place; then it is said once."""
    readings = [
        run.outcome
        for run in wording.model_level(audit)
        if isinstance(run.outcome, Evidence) and run.outcome.threshold is not None
    ]
    origins = {reading.provenance for reading in readings}
    return origins.pop() if len(readings) > 1 and len(origins) == 1 else ""


def _threshold_origin(word: str, provenance: str) -> str:
    return f"{word}: {printable(provenance, 300)}"


def _evidence(audit: Audit, run: Run, common: str) -> RenderableType:
    label = Text(run.rule.name, "bold")
    match run.outcome:
        case NotApplicable():
            return rows(label, "did not apply, see 'Not checked'")
        case Failed():
            return rows(label, "crashed, see 'Not checked'")
        case Evidence() as reading:
            row = _columns()
            row.add_row(label, _bar(reading), *_reading(reading))
            details = [run.rule.title, _details(audit, reading, common)]
            return Group(row, rows("", *(line for line in details if line)))


def _bar(reading: Evidence) -> RenderableType:
    top = top_of(reading.score, reading.threshold)
    return Bar(reading.score, top, reading.threshold, "red" if reading.fires else "cyan")


def _reading(reading: Evidence) -> tuple[Text, Text]:
    if math.isnan(reading.score):
        return Text("none"), Text("no reading", "magenta")
    score = Text(wording.number(reading.score), "bold")
    if reading.threshold is None:
        return score, Text("only measures")
    if reading.fires:
        return score, Text(f"FIRES, threshold {wording.number(reading.threshold)}", "bold red")
    if reading.leans:
        return score, Text(f"leans, threshold {wording.number(reading.threshold)}", "yellow")
    return score, Text(f"below threshold {wording.number(reading.threshold)}")


def _details(audit: Audit, reading: Evidence, common: str) -> str:
    parts = []
    if reading.leans and reading.target_classes:
        parts.append(f"Points at {wording.class_list(audit.suspect, reading.target_classes)}.")
    if reading.fires:
        parts.append(wording.benign_share(reading.p_value))
    if reading.experimental:
        warning = "be careful with it" if reading.fires else "so this is no pass"
        parts.append(f"Not calibrated for this, {warning}.")
    if reading.provenance and reading.provenance != common:
        parts.append(_threshold_origin("Threshold", reading.provenance))
    return " ".join(part for part in parts if part)


def _classes(audit: Audit) -> list[RenderableType]:
    readings = [
        (run.rule.name, run.outcome)
        for run in audit.runs
        if isinstance(run.outcome, Evidence) and "per_class" in run.outcome.measurements
    ]
    if not readings:
        return []
    name, reading = max(
        readings, key=lambda named: named[1].score / (named[1].threshold or math.inf)
    )
    return [rows(f"Top classes\n(by {name})", _ranking(audit, reading.measurements["per_class"]))]


def _ranking(audit: Audit, scores: list[float]) -> RenderableType:
    known = [(score, index) for index, score in enumerate(scores) if math.isfinite(score)]
    known.sort(key=lambda pair: (-pair[0], pair[1]))
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(max_width=28, no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=1)
    table.add_column(justify="right", width=7)
    suspected = audit.judgement.target_classes
    top = top_of(*(score for score, _ in known))
    for score, index in known[:SHOWN_CLASSES]:
        style = "red" if index in suspected else "cyan"
        label = Text(wording.class_label(audit.suspect, index))
        table.add_row(label, Bar(score, top, style=style), wording.number(score))
    return table


def _firewall(audit: Audit) -> list[RenderableType]:
    run = calibration_run(audit)
    if run is None or not isinstance(run.outcome, Evidence):
        return []
    return [rows(f"Firewall\n({run.rule.name})", " ".join(describe(run.outcome.measurements)))]


def _not_checked(report: Report) -> list[str]:
    found = any(map(wording.is_fired, report.audit.runs))
    gaps = [printable(gap, 300) for gap in report.audit.judgement.not_checked]
    for run in wording.model_level(report.audit):
        blind_to = report.blind_to.get(run.rule.name, "")
        # Beside a finding the start is enough; where nothing was found this is what matters.
        shown = blind_to.split(";")[0].rstrip(".") + "." if found else blind_to
        if isinstance(run.outcome, Evidence) and blind_to:
            gaps.append(f"{run.rule.name} is blind to: {printable(shown, 400)}")
    return gaps


def _circumstances(report: Report) -> list[str]:
    audit = report.audit
    times = ", ".join(f"{run.rule.name} {run.seconds:.1f} s" for run in audit.runs)
    return [
        f"backaudit {own_version()} on {audit.suspect.device}, seed {audit.seed}, "
        f"exit code {report.exit_code}; {times}",
    ]


def _columns() -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=LABELS)
    table.add_column(ratio=1)
    table.add_column(justify="right", width=6)
    table.add_column(width=22, no_wrap=True)
    return table

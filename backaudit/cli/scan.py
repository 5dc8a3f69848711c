"""backaudit scan: parse, load, scan, render, exit."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from backaudit.audit import scan
from backaudit.cli.docstrings import sections, unwrapped
from backaudit.cli.exits import ExitCode, OnInconclusive, exit_code
from backaudit.cli.load_options import files_read, load_options_of
from backaudit.cli.messages import say, standard_error
from backaudit.cli.methods import chosen_detectors, left_out
from backaudit.cli.options import ScanOptions
from backaudit.cli.outputs import (
    Output,
    announce,
    check_outputs,
    parse_outputs,
    write_atomically,
    write_outputs,
)
from backaudit.cli.progress import progress_shown
from backaudit.core.errors import SettingError, UnsafeFileError
from backaudit.core.verdict import Audit, judge
from backaudit.detectors import DETECTORS
from backaudit.detectors.interface import Detector
from backaudit.firewall.calibration import calibrate
from backaudit.firewall.calibration_file import CalibrationFile, render_calibrations
from backaudit.loading.load import load
from backaudit.loading.prepared import prepared_of
from backaudit.reports import findings
from backaudit.reports.calibration import INPUT_LEVEL, calibration_run
from backaudit.reports.findings import TITLE
from backaudit.reports.formats import RENDERERS
from backaudit.reports.report import Refusal, Report
from backaudit.reports.terminal import page
from backaudit.reports.wording import headline, is_reading, model_level
from backaudit.screeners import SCREENERS

log = logging.getLogger(__name__)


def run(options: ScanOptions) -> ExitCode:
    """Audit one checkpoint."""
    outputs = parse_outputs(options.output or (), RENDERERS)
    detectors = chosen_detectors(options.detectors, options.settings or ())
    _check_files(options, outputs, detectors)
    load_options = load_options_of(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        with progress_shown(standard_error(), "auditing", quiet=options.quiet):
            suspect, clean = load(options.model, options.clean, load_options)
            audit = scan(suspect, clean, detectors, seed=options.seed)
    except UnsafeFileError as error:
        return _refuse(error, outputs, options)
    runs = (*audit.runs, *left_out(detectors, options.seed))
    audit = replace(audit, runs=runs, judgement=judge(runs))
    code = exit_code(
        audit.judgement.verdict, _complete(audit), options.fail_on, options.on_inconclusive
    )
    _write(Report(audit, int(code), _blind_to()), outputs, force=options.force)
    if options.save_calibration:
        _save_calibration(audit, options.save_calibration, force=options.force)
    _warn(audit, code, options)
    if not options.quiet:
        announce(f"{audit.judgement.verdict.value}: {headline(audit)}", code, outputs)
    return code


def _refuse(error: UnsafeFileError, outputs: Sequence[Output], options: ScanOptions) -> ExitCode:
    """Report an unsafe file. It fails whatever --fail-on tolerates: that weighs verdicts."""
    log.debug("stopped at the file", exc_info=True)
    refusal = Refusal(error.survey, options.clean, options.seed, int(ExitCode.FOUND))
    _write(refusal, outputs, force=options.force)
    if options.save_calibration:
        say(f"warning: {options.save_calibration} is not written, because the file is unsafe")
    if not options.quiet:
        announce(f"{TITLE}: {findings.headline(error.survey)}", ExitCode.FOUND, outputs)
    return ExitCode.FOUND


def _check_files(
    options: ScanOptions, outputs: Sequence[Output], detectors: Sequence[Detector]
) -> None:
    files = [output.file for output in outputs if output.file]
    if options.save_calibration:
        if not any(detector.rule.id.startswith(INPUT_LEVEL) for detector in detectors):
            raise SettingError("--save-calibration needs ibd-psc, which --detectors leaves out")
        files.append(options.save_calibration)
    check_outputs(files, files_read(options), force=options.force)


def _blind_to() -> dict[str, str]:
    documented = {name: sections(method) for name, method in DETECTORS.items()}
    return {name: unwrapped(found.get("Blind to", "")) for name, found in documented.items()}


def _complete(audit: Audit) -> bool:
    """Whether every model-level check gave a reading that its calibration covers."""
    runs = model_level(audit)
    return bool(runs) and all(is_reading(run) for run in runs)


def _write(report: Report | Refusal, outputs: Sequence[Output], *, force: bool) -> None:
    write_outputs(
        outputs,
        {name: partial(render, report) for name, render in RENDERERS.items()},
        partial(page, report),
        force=force,
    )


def _save_calibration(audit: Audit, file: Path, *, force: bool) -> None:
    """Write what ``backaudit screen --calibration`` reads, with the settings of the audit."""
    run = calibration_run(audit)
    if run is None:
        say(f"warning: {file} is not written, because ibd-psc made no calibration")
        return
    made = calibrate(SCREENERS[run.rule.name](**run.settings), audit.suspect, audit.clean)
    written = CalibrationFile(prepared_of(audit.suspect), (made,))
    write_atomically(file, render_calibrations(written), force=force)


def _warn(audit: Audit, code: ExitCode, options: ScanOptions) -> None:
    verdict = audit.judgement.verdict.value
    if options.on_inconclusive is OnInconclusive.WARN and not _complete(audit):
        say(f"warning: {verdict}, and a required check could not be made; exit code {int(code)}")

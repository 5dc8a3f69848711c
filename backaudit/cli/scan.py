"""backaudit scan: parse, load, scan, render, exit."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from backaudit.audit import scan
from backaudit.cli.device import choose_device
from backaudit.cli.docstrings import sections, unwrapped
from backaudit.cli.exits import ExitCode, OnInconclusive, exit_code
from backaudit.cli.messages import say, standard_error
from backaudit.cli.methods import chosen_detectors, left_out
from backaudit.cli.options import ScanOptions
from backaudit.cli.outputs import (
    Output,
    check_outputs,
    parse_outputs,
    print_page,
    write_atomically,
    write_standard_output,
)
from backaudit.cli.progress import progress_shown
from backaudit.core.errors import SettingError
from backaudit.core.settings import parse_value
from backaudit.core.verdict import Audit, judge
from backaudit.detectors import DETECTORS
from backaudit.detectors.interface import Detector
from backaudit.loading.load import LoadOptions, load
from backaudit.reports import RENDERERS
from backaudit.reports.calibration import INPUT_LEVEL, calibration_run, render_calibration
from backaudit.reports.report import Report
from backaudit.reports.terminal import page
from backaudit.reports.wording import headline, is_reading, model_level


def run(options: ScanOptions) -> ExitCode:
    """Audit one checkpoint."""
    outputs = parse_outputs(options.output or (), RENDERERS)
    detectors = chosen_detectors(options.detectors, options.settings or ())
    _check_files(options, outputs, detectors)
    load_options = _load_options(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    with progress_shown(standard_error(), "auditing", quiet=options.quiet):
        suspect, clean = load(options.model, options.clean, load_options)
        audit = scan(suspect, clean, detectors, seed=options.seed)
    runs = (*audit.runs, *left_out(detectors, options.seed))
    audit = replace(audit, runs=runs, judgement=judge(runs))
    code = exit_code(
        audit.judgement.verdict, _complete(audit), options.fail_on, options.on_inconclusive
    )
    _write(Report(audit, int(code), _blind_to()), outputs, options)
    _announce(audit, code, outputs, options)
    return code


def _check_files(
    options: ScanOptions, outputs: Sequence[Output], detectors: Sequence[Detector]
) -> None:
    files = [output.file for output in outputs if output.file]
    if options.save_calibration:
        if not any(detector.rule.id.startswith(INPUT_LEVEL) for detector in detectors):
            raise SettingError("--save-calibration needs ibd-psc, which --detectors leaves out")
        files.append(options.save_calibration)
    if len({file.resolve() for file in files}) < len(files):
        raise SettingError("two outputs are to be written to one file; give each its own")
    check_outputs(files, (options.model,), force=options.force)


def _load_options(options: ScanOptions) -> LoadOptions:
    device, warning = choose_device(options.device)
    if warning and not options.quiet:
        say(warning)
    return LoadOptions(
        arch=options.arch,
        model_def=options.model_def,
        classes=options.classes,
        size=_size(options.size),
        mean=_numbers("--mean", options.mean),
        std=_numbers("--std", options.std),
        device=str(device),
        max_images=options.max_images,
    )


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and (width or height).isdecimal() and int(height) > 0):
        raise SettingError(f"--size {text}: give pixels, as 32 or 224x192 (height x width)")
    return int(height), int(width or height)


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    numbers: tuple[float, ...] = parse_value(name, text, tuple[float, ...])
    return numbers


def _blind_to() -> dict[str, str]:
    documented = {name: sections(method) for name, method in DETECTORS.items()}
    return {name: unwrapped(found.get("Blind to", "")) for name, found in documented.items()}


def _complete(audit: Audit) -> bool:
    """Whether every model-level check gave a reading that its calibration covers."""
    runs = model_level(audit)
    return bool(runs) and all(is_reading(run) for run in runs)


def _write(report: Report, outputs: Sequence[Output], options: ScanOptions) -> None:
    for output in sorted(outputs, key=lambda output: output.file is None):
        if output.file is not None:
            text = RENDERERS[output.format](report)
            write_atomically(output.file, text, force=options.force)
        elif output.format == "terminal":
            print_page(page(report))
        else:
            write_standard_output(RENDERERS[output.format](report))
    if options.save_calibration:
        _save_calibration(report.audit, options.save_calibration, force=options.force)


def _save_calibration(audit: Audit, file: Path, *, force: bool) -> None:
    calibrated = calibration_run(audit)
    if calibrated is None:
        say(f"warning: {file} is not written, because ibd-psc made no calibration")
        return
    write_atomically(file, render_calibration(audit, calibrated), force=force)


def _announce(
    audit: Audit, code: ExitCode, outputs: Sequence[Output], options: ScanOptions
) -> None:
    """Tell a person what the files say, so that no audit ends in silence."""
    verdict = audit.judgement.verdict.value
    if options.on_inconclusive is OnInconclusive.WARN and not _complete(audit):
        say(f"warning: {verdict}, and a required check could not be made; exit code {int(code)}")
    if options.quiet:
        return
    if all(output.file for output in outputs):
        say(f"{verdict}: {headline(audit)} Exit code {int(code)}.")
    for output in outputs:
        if output.file:
            say(f"wrote {output.file}")

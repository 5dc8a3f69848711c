"""backaudit screen: parse, load, calibrate, screen, render, exit."""

import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from math import ceil
from pathlib import Path

import torch

from backaudit.cli.exits import ExitCode
from backaudit.cli.load_options import files_read
from backaudit.cli.messages import say, standard_error
from backaudit.cli.outputs import (
    Output,
    announce,
    check_outputs,
    parse_outputs,
    write_atomically,
    write_outputs,
)
from backaudit.cli.progress import progress_shown
from backaudit.cli.screen.calibrating import Calibrated, calibrated, check_calibrating
from backaudit.cli.screen.flagged import Copies, check_folder
from backaudit.cli.screen.lines import lines_written
from backaudit.cli.screen.options import ScreenOptions
from backaudit.cli.screen.report import report_of
from backaudit.cli.screen.screening import Recorder, Screened
from backaudit.core.errors import SettingError
from backaudit.core.progress import track
from backaudit.firewall.export import export_guarded, renderer_for
from backaudit.firewall.guarded import guard
from backaudit.firewall.inputs import STANDARD_INPUT, Inputs, find_inputs, without_warnings
from backaudit.firewall.stream import Batch, batches
from backaudit.reports.screening import html, terminal
from backaudit.reports.screening.report import Screening
from backaudit.reports.screening.rows import LINES
from backaudit.reports.screening.wording import headline

PAGES = {"terminal": terminal.render, "html": html.render}
LARGEST_BATCH = 128
BATCH_PIXELS = 1 << 20
LONGEST_LINE = 1 << 15


def run(options: ScreenOptions) -> ExitCode:
    """Calibrate a model, screen images with it, or both."""
    texts = options.inputs or []
    screeners = check_calibrating(options)
    outputs = _outputs(options)
    _check_files(options, outputs)
    if options.threads:
        torch.set_num_threads(options.threads)
    inputs = find_inputs(texts, _standard_input()) if texts else None
    with progress_shown(standard_error(), "calibrating", quiet=options.quiet):
        ready = calibrated(options, screeners)
    if options.calibrate is not None:
        write_atomically(options.calibrate, ready.render(), force=options.force)
        if not options.quiet:
            say(f"wrote {options.calibrate}")
    if options.export is not None:
        _export(options.export, options, ready)
    if inputs is None:
        return ExitCode.NO_EVIDENCE
    return _screen(options, outputs, inputs, ready)


def _export(file: Path, options: ScreenOptions, ready: Calibrated) -> None:
    guarded = guard(ready.suspect.network, ready.file)
    with progress_shown(standard_error(), f"exporting {file.name}", quiet=options.quiet):
        export_guarded(guarded, file, force=options.force)
    if not options.quiet:
        say(f"wrote {file}: {guarded.how}")


def _outputs(options: ScreenOptions) -> tuple[Output, ...]:
    texts: Sequence[str] = options.output or ()
    if not options.inputs:
        if not options.calibrate and not options.export:
            raise SettingError(
                "name what to screen: a folder, a quoted glob, an .npz file, pictures or - ; or "
                "add --calibrate FILE to calibrate only, or --export FILE"
            )
        if options.move_flagged or texts:
            raise SettingError("nothing is screened without INPUTS; leave --output out")
    if options.inputs == [STANDARD_INPUT] and not texts:
        texts = ("jsonl",)
    return parse_outputs(texts, (*PAGES, *LINES))


def _check_files(options: ScreenOptions, outputs: Sequence[Output]) -> None:
    files = [output.file for output in outputs if output.file]
    if options.export:
        renderer_for(options.export)
    files += [file for file in (options.calibrate, options.export) if file]
    read = (*files_read(options), options.calibration, *map(Path, options.inputs or ()))
    check_outputs(files, [path for path in read if path], force=options.force)
    if options.move_flagged:
        check_folder(options.move_flagged, options.inputs or [])


def _standard_input() -> Iterator[bytes]:
    """Lines of standard input; one that is too long for a path comes in pieces."""
    try:
        # A stream of its own: at exit Python waits for nobody who still reads from it.
        own = os.dup(sys.stdin.fileno())
    except OSError:
        yield from iter(partial(sys.stdin.buffer.readline, LONGEST_LINE), b"")
        return
    with os.fdopen(own, "rb") as stream:
        yield from iter(partial(stream.readline, LONGEST_LINE), b"")


def _screen(
    options: ScreenOptions, outputs: Sequence[Output], inputs: Inputs, ready: Calibrated
) -> ExitCode:
    methods = [calibration.method for calibration in ready.calibrations]
    with lines_written(outputs, methods, force=options.force) as written:
        recorder = Recorder(
            add=written.add,
            flush=written.flush,
            complain=lambda path, problem: say(f"not screened: {path}: {problem}"),
            copies=Copies(options.move_flagged) if options.move_flagged else None,
            pictures=any(output.format == "html" for output in outputs),
            archive=inputs.source if inputs.archive is not None else None,
        )
        screened = Screened(ready.suspect, ready.calibrations, recorder)
        with (
            progress_shown(standard_error(), "screening", quiet=not _shows_bar(options, outputs)),
            without_warnings(),
        ):
            screened.run(_batches(options, inputs, ready))
        report = report_of(options, inputs, ready, screened)
        written.finish(report)
    pages = [output for output in outputs if output.format in PAGES]
    write_outputs(
        pages,
        {name: partial(render, report) for name, render in PAGES.items()},
        partial(terminal.page, report),
        force=options.force,
    )
    if not options.quiet:
        _announce(report, outputs)
    return ExitCode(report.exit_code)


def _batches(options: ScreenOptions, inputs: Inputs, ready: Calibrated) -> Iterator[Batch]:
    """The inputs in batches, which tell the progress bar how many are done."""
    shape = ready.suspect.image_shape
    fitting = max(1, min(LARGEST_BATCH, BATCH_PIXELS // (shape[1] * shape[2])))
    size = options.batch_size or fitting
    read = batches(inputs.tasks(shape), size, shape, live=inputs.kind == "stream")
    if inputs.count is None:
        return read
    # The batches are drawn as the steps are counted.
    steps = range(ceil(inputs.count / size))
    return (batch for _, batch in zip(track(steps, "screening images"), read, strict=False))


def _shows_bar(options: ScreenOptions, outputs: Sequence[Output]) -> bool:
    """Whether a progress bar disturbs nobody: not those who watch the lines come."""
    lines = any(output.file is None and output.format in LINES for output in outputs)
    return not options.quiet and not (lines and sys.stdout.isatty())


def _announce(report: Screening, outputs: Sequence[Output]) -> None:
    lines_alone = all(output.file or output.format in LINES for output in outputs)
    if lines_alone and not all(output.file for output in outputs):
        say(headline(report))
    announce(headline(report), report.exit_code, outputs)
    if report.counts.copied:
        say(f"copied {report.counts.copied:,} flagged pictures")

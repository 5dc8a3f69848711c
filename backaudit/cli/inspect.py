"""backaudit inspect: look at a file, render, exit; imports torch only to recognise a network."""

from functools import partial
from pathlib import Path

from backaudit.cli.exits import ExitCode
from backaudit.cli.limits import limits_of
from backaudit.cli.messages import say, standard_error
from backaudit.cli.options import InspectOptions
from backaudit.cli.outputs import (
    announce,
    check_outputs,
    parse_outputs,
    write_atomically,
    write_outputs,
)
from backaudit.cli.progress import progress_shown
from backaudit.core.errors import CheckpointError
from backaudit.loading.inspection.inspection import Inspection, inspect
from backaudit.reports import inspection as terminal
from backaudit.reports import inspection_json as json

RENDERERS = {"terminal": terminal.render, "json": json.render}
CODES = {"unsafe": ExitCode.FOUND, "unreadable": ExitCode.NOT_AUDITED}


def run(options: InspectOptions) -> ExitCode:
    """Look at one checkpoint."""
    outputs = parse_outputs(options.output or (), RENDERERS)
    files = [output.file for output in outputs if output.file]
    files += [options.skeleton] if options.skeleton else []
    check_outputs(files, (options.model,), force=options.force)
    with progress_shown(standard_error(), "inspecting", quiet=options.quiet):
        found = inspect(options.model, limits_of(options.max_gib))
    result = terminal.result(found.survey)
    code = CODES.get(result, ExitCode.NO_EVIDENCE)
    renderers = {name: partial(render, found, code) for name, render in RENDERERS.items()}
    write_outputs(outputs, renderers, partial(terminal.page, found, code), force=options.force)
    if not options.quiet:
        announce(f"{terminal.TITLES[result]}: {terminal.headline(found.survey)}", code, outputs)
    if options.skeleton:
        _write_skeleton(found, options.skeleton, options)
    return code


def _write_skeleton(found: Inspection, file: Path, options: InspectOptions) -> None:
    if found.survey.unsafe or found.survey.contents.problem:
        say(f"warning: {file} is not written, because the checkpoint must not be used")
        return
    from backaudit.loading.inspection.network import skeleton_of

    try:
        text = skeleton_of(found.survey)
    except CheckpointError as error:
        say(f"warning: {file} is not written: {error}")
        return
    write_atomically(file, text, force=options.force)
    if not options.quiet:
        say(f"wrote {file}")

"""backaudit purify: parse, load, detect, purify, render, exit."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from backaudit.cli.exits import ExitCode
from backaudit.cli.load_options import files_read, load_options_of
from backaudit.cli.messages import say, standard_error
from backaudit.cli.outputs import Output, announce, check_outputs, parse_outputs, write_outputs
from backaudit.cli.progress import progress_shown
from backaudit.cli.purify.methods import chosen_purifiers
from backaudit.cli.purify.options import PurifyOptions
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import SettingError
from backaudit.core.purification import Purification, Result
from backaudit.core.suspect import Suspect
from backaudit.core.writing import require_free
from backaudit.loading.load import load
from backaudit.purification.choosing import AUTO
from backaudit.purification.detecting import read_audit
from backaudit.purification.provenance import record_beside
from backaudit.purification.purify import purify
from backaudit.purification.terms import PurifyTerms
from backaudit.purification.triggered import read_triggered
from backaudit.purifiers.interface import Purifier
from backaudit.reports.purification import json, terminal
from backaudit.reports.purification.wording import forced, headline

RENDERERS = {"terminal": terminal.render, "json": json.render}


def run(options: PurifyOptions) -> ExitCode:
    """Purify one checkpoint."""
    outputs = parse_outputs(options.report or (), RENDERERS)
    purifiers = chosen_purifiers(options.method, options.settings or ())
    _check(options, outputs)
    if options.threads:
        torch.set_num_threads(options.threads)
    terms = PurifyTerms(
        seed=options.seed,
        max_accuracy_drop=options.max_accuracy_drop,
        force=options.force,
        resume=options.resume,
        scan_first=options.method == AUTO,
        only_if_found=options.method == AUTO,
        first_good=options.method == AUTO,
        clean=options.clean,
        options=load_options_of(options),
    )
    with progress_shown(standard_error(), "purifying", quiet=options.quiet):
        suspect, clean = load(options.model, options.clean, terms.options)
        made = _purified(options, suspect, clean, purifiers, terms)
    write_outputs(
        outputs,
        {name: partial(render, made) for name, render in RENDERERS.items()},
        partial(terminal.page, made),
        force=options.force,
    )
    _tell(made, outputs, options)
    return ExitCode(made.result.exit_code)


def _check(options: PurifyOptions, outputs: Sequence[Output]) -> None:
    """Refuse what cannot work before anything is loaded."""
    if (options.triggered is None) != (options.target is None):
        raise SettingError("--triggered DIR and --target CLASS go together")
    if not options.destination.name:
        raise SettingError(f"--output {options.destination} has no name: name a file")
    files = [output.file for output in outputs if output.file]
    files.append(record_beside(options.destination))
    inputs = [*files_read(options), *filter(None, (options.audit, options.triggered))]
    if options.destination.resolve() == options.model.resolve():
        raise SettingError(
            f"--output {options.destination} is the model, which is never written to: name another"
        )
    if options.destination.resolve() in {each.resolve() for each in (*files, *inputs)}:
        raise SettingError(
            f"--output {options.destination} is another file of this command; the repaired "
            "checkpoint needs one of its own"
        )
    # Of a folder it depends on the model what may lie in it.
    if not options.destination.is_dir():
        require_free(options.destination, force=options.force)
    check_outputs(files, inputs, force=options.force)


def _purified(
    options: PurifyOptions,
    suspect: Suspect,
    clean: CleanSet,
    purifiers: Sequence[Purifier],
    terms: PurifyTerms,
) -> Purification:
    if options.triggered is not None and options.target is not None:
        triggered = read_triggered(options.triggered, options.target, suspect)
        terms = replace(terms, triggered=triggered)
    if options.audit is not None:
        terms = replace(terms, detected=read_audit(options.audit, suspect))
    return purify(suspect, clean, purifiers, options.destination, terms)


def _tell(made: Purification, outputs: Sequence[Output], options: PurifyOptions) -> None:
    if made.result is Result.TOO_INACCURATE:
        say(
            f"{options.destination} is not written: {headline(made)} What was computed is kept "
            "beside it; --resume --force writes it all the same."
        )
    if options.quiet:
        return
    announce(f"{made.result.value}: {headline(made)}", made.result.exit_code, outputs)
    for sentence in forced(made):
        say(sentence)
    if made.output is not None and made.output.written:
        say(f"wrote {options.destination} and {record_beside(options.destination)}")

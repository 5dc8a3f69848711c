"""The list of commands, and the one place where an error becomes a message and an exit code."""

import inspect
import logging
import re
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer

from backaudit.cli.bench.options import (
    BenchDetectOptions,
    BenchPurifyOptions,
    BenchScreenOptions,
)
from backaudit.cli.exits import ExitCode
from backaudit.cli.messages import logged_to_standard_error, say
from backaudit.cli.options import DoctorOptions, InspectOptions, RulesOptions, ScanOptions
from backaudit.cli.purify.options import PurifyOptions
from backaudit.cli.screen.options import ScreenOptions
from backaudit.cli.zoo_options import ZooListOptions, ZooTrainOptions
from backaudit.core.errors import BackauditError, OutputError, SettingError
from backaudit.core.version import own_version

log = logging.getLogger(__name__)

NO_VERDICT = "there is no verdict and no half-written file"
MODELS_KEPT = "the models that were finished are kept, and the same command goes on with the rest"
RESUMES = "nothing is half-written, and the same command with --resume goes on"
LINES_HOLD = "no file is half-written, and the lines that went out already hold"
RESULTS_KEPT = "the results that were finished are kept, and the same command goes on with the rest"

app = typer.Typer(
    name="backaudit",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"backaudit {own_version()}")
        raise typer.Exit


@app.callback()
def _backaudit(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Audit image classifiers for backdoors.

    Looks for evidence that a trained model obeys a hidden trigger. Start with:

      backaudit inspect model.pt

      backaudit scan model.pt --clean ./samples

      backaudit screen model.pt ./incoming --clean ./samples

      backaudit purify model.pt --clean ./samples --output repaired.pt

    Nothing in a checkpoint is executed. No model is ever called safe.
    """


def _command(
    options: type, module: str, function: str = "run", *, interrupted: str = NO_VERDICT
) -> Callable[..., None]:
    """Make a command whose options are a dataclass's fields and whose work is that function.

    Args:
        options: the dataclass.
        module: of ``backaudit.cli``.
        function: of the module; takes the options and returns the exit code.
        interrupted: what to say after Ctrl-C.
    """

    def command(debug: bool, **given: Any) -> None:
        def work() -> int:
            # Only here: the command's module imports torch, which help must not wait for.
            run = getattr(import_module(f"backaudit.cli.{module}"), function)
            code: int = run(options(debug=debug, **given))
            return code

        with logged_to_standard_error(wanted=debug):
            code = guarded(work, debug=debug, interrupted=interrupted)
        raise typer.Exit(code)

    # The terminal wraps paragraphs by itself; the line ends of the source would stay otherwise.
    command.__doc__ = re.sub(r"(?<!\n)\n(?![\n ])", " ", inspect.getdoc(options) or "")
    command.__annotations__ = {}
    command.__signature__ = inspect.signature(options)  # type: ignore[attr-defined]
    return command


def guarded(work: Callable[[], int], *, debug: bool, interrupted: str = NO_VERDICT) -> int:
    """Do a command's work; what goes wrong is a paragraph and an exit code, never 0 or 1."""
    try:
        return work()
    except KeyboardInterrupt:
        return _stopped(interrupted)
    except BackauditError as error:
        log.debug("stopped", exc_info=True)
        if _during_interrupt(error):
            return _stopped(interrupted)
        say(f"backaudit: {error}")
        usage = isinstance(error, SettingError | OutputError)
        return ExitCode.USAGE if usage else ExitCode.NOT_AUDITED
    except Exception as error:
        log.debug("stopped", exc_info=True)
        if _during_interrupt(error):
            return _stopped(interrupted)
        say(f"backaudit: {_explain(error, debug=debug)}")
        return ExitCode.NOT_AUDITED


def _stopped(said: str) -> ExitCode:
    say(f"backaudit: interrupted; {said}")
    return ExitCode.INTERRUPTED


def _during_interrupt(error: BaseException) -> bool:
    """Whether Ctrl-C came first, and cleaning up after it raised the error."""
    context = error.__context__
    return context is not None and (
        isinstance(context, KeyboardInterrupt) or _during_interrupt(context)
    )


def _explain(error: Exception, *, debug: bool) -> str:
    if _out_of_memory(error):
        return (
            "out of memory, so the model could not be audited. Use fewer clean images "
            "(--max-images 200), smaller batches of a method that has them (--set "
            "METHOD.batch_size=16), or a machine or device with more memory (--device cpu)."
        )
    if isinstance(error, ModuleNotFoundError):
        return f"the installation is incomplete: {error}. Install backaudit again with pip."
    hint = "" if debug else " Run again with --debug and include the traceback."
    return (
        f"this is a bug in backaudit, please report it; the model was not audited. "
        f"{type(error).__name__}: {error}.{hint}"
    )


def _out_of_memory(error: Exception) -> bool:
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate memory" in str(error)


app.command("scan")(_command(ScanOptions, "scan"))
app.command("screen")(_command(ScreenOptions, "screen.run", interrupted=LINES_HOLD))
app.command("purify")(_command(PurifyOptions, "purify.run", interrupted=RESUMES))
app.command("inspect")(_command(InspectOptions, "inspect"))
app.command("rules")(_command(RulesOptions, "rules"))
app.command("doctor")(_command(DoctorOptions, "doctor"))

zoo = typer.Typer(no_args_is_help=True, help="Train models whose truth is known, and list them.")
zoo.command("train")(_command(ZooTrainOptions, "zoo", "train", interrupted=MODELS_KEPT))
zoo.command("list")(_command(ZooListOptions, "zoo", "show"))
app.add_typer(zoo, name="zoo")

bench = typer.Typer(no_args_is_help=True, help="Measure the methods on a zoo.")
bench.command("detect")(_command(BenchDetectOptions, "bench.detect", interrupted=RESULTS_KEPT))
bench.command("screen")(_command(BenchScreenOptions, "bench.screen", interrupted=RESULTS_KEPT))
bench.command("purify")(_command(BenchPurifyOptions, "bench.purify", interrupted=RESULTS_KEPT))
app.add_typer(bench, name="bench")

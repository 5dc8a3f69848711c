"""A screening that is over, as its reports want it, and the exit code it gets."""

from backaudit.cli.exits import ExitCode
from backaudit.cli.screen.calibrating import Calibrated
from backaudit.cli.screen.options import FailOnImages, ScreenOptions
from backaudit.cli.screen.screening import Screened
from backaudit.core.errors import InputError
from backaudit.firewall.inputs import Inputs
from backaudit.reports.screening.report import Counts, Screening
from backaudit.reports.screening.wording import EXCESS


def report_of(
    options: ScreenOptions, inputs: Inputs, ready: Calibrated, screened: Screened
) -> Screening:
    """Put together what was found.

    Raises:
        InputError: if there was no image at all.
    """
    summary, copies = screened.summary, screened.recorder.copies
    if not (summary.images or summary.unreadable):
        raise InputError(
            "standard input named no images: write one path a line, as "
            "`find incoming -name '*.png' | backaudit screen MODEL - ...`"
        )
    test = summary.test()
    return Screening(
        suspect=ready.suspect,
        calibrations=ready.calibrations,
        calibrated_by=ready.origin,
        hows=screened.hows,
        source=inputs.source,
        kind=inputs.kind,
        counts=Counts(
            resized=screened.resized,
            left_out=inputs.left_out,
            unreadable=summary.unreadable,
            unreadable_named=summary.unreadable_named,
            copied=copies.count if copies else 0,
        ),
        test=test,
        tests=summary.tests(),
        per_class=summary.per_class(),
        highest=screened.highest.sorted(),
        pictures=screened.pictures.sorted(),
        seconds=screened.seconds,
        fail_on=options.fail_on.value,
        exit_code=int(exit_code(options.fail_on, test.flagged, test.p_value, summary.unreadable)),
    )


def exit_code(fail_on: FailOnImages, flagged: int, p_value: float, unreadable: int) -> ExitCode:
    """Weigh what was found by what the caller wants to fail on.

    Args:
        fail_on: what fails.
        flagged: images.
        p_value: how often clean images alone give as many flags.
        unreadable: images that nobody screened, which is no pass.
    """
    failing = {
        FailOnImages.FLAGGED: flagged > 0,
        FailOnImages.EXCESS: flagged > 0 and p_value < EXCESS,
        FailOnImages.NEVER: False,
    }
    if failing[fail_on]:
        return ExitCode.FOUND
    return ExitCode.NOT_AUDITED if unreadable else ExitCode.NO_EVIDENCE

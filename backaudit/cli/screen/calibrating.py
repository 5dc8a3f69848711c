"""The model to screen with and its calibration: made now of clean images, or read from a file."""

from collections.abc import Sequence
from dataclasses import dataclass

from backaudit.cli.load_options import load_options_of
from backaudit.cli.screen.options import ScreenOptions
from backaudit.cli.screeners import chosen_calibrations, chosen_screeners
from backaudit.core.errors import SettingError
from backaudit.core.screening import Calibration
from backaudit.core.suspect import Suspect
from backaudit.firewall.calibration import calibrate
from backaudit.firewall.calibration_file import (
    CalibrationFile,
    read_calibrations,
    render_calibrations,
)
from backaudit.loading.load import load
from backaudit.loading.prepared import load_prepared, prepared_of
from backaudit.screeners.interface import Screener


@dataclass(frozen=True)
class Calibrated:
    """A model that images can be screened with.

    Args:
        suspect: the model.
        calibrations: one a screener.
        origin: the calibration's file, or the clean images.
        read: what the calibration's file holds; None if there is none.
    """

    suspect: Suspect
    calibrations: tuple[Calibration, ...]
    origin: str
    read: CalibrationFile | None = None

    @property
    def file(self) -> CalibrationFile:
        """What a calibration file holds, or is to hold."""
        return self.read or CalibrationFile(prepared_of(self.suspect), self.calibrations)

    def render(self) -> str:
        """The text of a calibration file."""
        return render_calibrations(self.file)


def check_calibrating(options: ScreenOptions) -> tuple[Screener, ...]:
    """Make sure that the options say how to calibrate, and nothing else.

    Returns:
        The screeners to calibrate; none with ``--calibration``.

    Raises:
        SettingError: if they do not.
    """
    if options.calibration is None and options.clean is None:
        raise SettingError(
            "give --clean DIR (images you trust) to calibrate, or --calibration FILE (which "
            "--calibrate wrote)"
        )
    if options.calibration is None:
        return chosen_screeners(options.screeners, options.settings or (), options.false_flag_rate)
    useless = {
        "--clean": options.clean,
        "--calibrate": options.calibrate,
        "--set": options.settings,
        "--false-flag-rate": options.false_flag_rate,
        "--classes": options.classes,
    }
    for name, value in useless.items():
        if value is not None:
            raise SettingError(
                f"{name} has no effect with --calibration, which fixes it; leave one of them out"
            )
    return ()


def calibrated(options: ScreenOptions, screeners: Sequence[Screener]) -> Calibrated:
    """Load the model, and calibrate it or read its calibration.

    Args:
        options: that ``check_calibrating`` let pass.
        screeners: what it returned.

    Raises:
        BackauditError: if the model, the clean images or the calibration cannot be used.
    """
    if options.calibration is not None:
        file = read_calibrations(options.calibration)
        chosen = chosen_calibrations(options.screeners, file.calibrations)
        suspect = load_prepared(options.model, file.prepared, load_options_of(options))
        file.require(suspect.sha256, options.model)
        return Calibrated(suspect, chosen, str(options.calibration), file)
    if options.clean is None:
        raise SettingError("--clean is missing")
    suspect, clean = load(options.model, options.clean, load_options_of(options))
    made = tuple(
        calibrate(each, suspect, clean, false_flag_rate=options.false_flag_rate)
        for each in screeners
    )
    return Calibrated(suspect, made, clean.source)

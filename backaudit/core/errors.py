"""The exceptions backaudit raises on purpose.

BackauditError
├── CheckpointError         the suspect cannot be read, is refused, or is not recognised
│   └── UnsafeFileError     its file would run code, or shows different contents to others
├── CleanSetError           the clean images cannot be used
├── CalibrationError        a calibration cannot be read, or belongs to another model
├── InputError              images to screen, or with the trigger, cannot be used
├── NotApplicableError      a method does not fit this suspect or this clean set
├── DivergedError           training a network led to NaN or infinite numbers
├── SuspectModifiedError    a method changed the suspect; nothing after it can be believed
├── SettingError            a setting or option is unknown or out of range
└── OutputError             an output file cannot be written

Messages say what is wrong, which file or name it is about, and what to do.
"""

from typing import Any


class BackauditError(Exception):
    """Base of every error that backaudit raises on purpose."""


class CheckpointError(BackauditError):
    """The suspect cannot be read, is refused, or is not recognised."""


class UnsafeFileError(CheckpointError):
    """The suspect's file would run code, or two programs would read different contents in it.

    Args:
        message: which file, and what is unsafe about it.
        survey: what was found, a ``backaudit.files.contents.Survey``.
    """

    def __init__(self, message: str, survey: Any) -> None:
        super().__init__(message)
        self.survey = survey


class CleanSetError(BackauditError):
    """The clean images cannot be used."""


class CalibrationError(BackauditError):
    """A calibration cannot be read, was changed, or belongs to another model or version."""


class InputError(BackauditError):
    """Images to screen, or images that carry the trigger, cannot be used."""


class NotApplicableError(BackauditError):
    """A method does not fit this suspect or this clean set; never counts as a pass."""


class DivergedError(BackauditError):
    """Training a network led to NaN or infinite numbers; its message says at which step."""


class SuspectModifiedError(BackauditError):
    """A method changed the suspect; every later reading would be worthless."""


class SettingError(BackauditError):
    """A setting or an option is unknown or out of range."""


class OutputError(BackauditError):
    """An output file cannot be written."""

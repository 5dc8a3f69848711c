"""Calibrations of one model as a file that only that model can be screened with."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backaudit.core.errors import CalibrationError
from backaudit.core.printable import printable
from backaudit.core.restoring import restored
from backaudit.core.screening import Calibration, images_needed
from backaudit.core.suspect import Prepared
from backaudit.core.version import own_version
from backaudit.files.plain_json import parsed_json
from backaudit.reports.plain import dumped

FORMAT = "backaudit calibration"
SCHEMA_VERSION = "2"
DIGEST = "digest"
# Overlays of large images fill some megabytes; nothing fills more.
LARGEST = 1 << 28
AGAIN = "Calibrate again with clean images: backaudit screen MODEL --clean DIR --calibrate FILE."


@dataclass(frozen=True)
class CalibrationFile:
    """Calibrations of one model, and what it takes to load that model without clean images.

    Args:
        prepared: the model: digest, architecture, preprocessing, class names and so on.
        calibrations: at least one, one a method, all measured on the same held-out images in the
            same order.

    Raises:
        ValueError: if they are not.
    """

    prepared: Prepared
    calibrations: tuple[Calibration, ...]

    def __post_init__(self) -> None:
        for calibration in self.calibrations:
            _require_whole(calibration, len(self.prepared.class_names))
        methods = {calibration.method for calibration in self.calibrations}
        if not methods or len(methods) < len(self.calibrations):
            raise ValueError("it has no calibration, or two of one screener")
        if len({len(calibration.clean_scores) for calibration in self.calibrations}) > 1:
            raise ValueError("its calibrations were measured on different images")

    def require(self, sha256: str, path: Path) -> None:
        """Refuse any model but the one that was calibrated.

        Args:
            sha256: digest of the model's file, in hexadecimal.
            path: of the model, for the message.

        Raises:
            CalibrationError: if it is another model.
        """
        self.prepared.require(sha256, path)


def render_calibrations(file: CalibrationFile) -> str:
    """The text of a calibration file (JSON), for whoever writes files (``write_atomically``)."""
    record = _record(file)
    return dumped(record | {DIGEST: _digest(record)})


def digest_of(file: CalibrationFile) -> str:
    """SHA-256, in hexadecimal, that the text of a calibration file states as its digest."""
    return _digest(_record(file))


def _record(file: CalibrationFile) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "backaudit": own_version(),
        "model": asdict(file.prepared),
        "calibrations": [asdict(calibration) for calibration in file.calibrations],
    }


def read_calibrations(path: Path) -> CalibrationFile:
    """Read a calibration file.

    Raises:
        CalibrationError: if it is no such file, of another version, or was changed by hand.
    """
    name = printable(path, 200)
    record = _parsed(path, name)
    _require_current(record, name)
    if record.pop(DIGEST, None) != _digest(record):
        raise CalibrationError(
            f"{name} was changed after it was written: its digest does not fit. {AGAIN}"
        )
    try:
        return restored(
            CalibrationFile,
            {"prepared": record.get("model"), "calibrations": record.get("calibrations")},
            "calibration file",
        )
    except ValueError as error:
        raise CalibrationError(f"{name} cannot be used: {error}. {AGAIN}") from error


def _parsed(path: Path, name: str) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise CalibrationError(f"{name} cannot be read: {error.strerror}.") from error
    if len(data) > LARGEST:
        raise CalibrationError(f"{name} is too large for a calibration file.")
    try:
        record = parsed_json(memoryview(data))
    except ValueError as error:
        raise CalibrationError(f"{name} is no calibration file: {error}. {AGAIN}") from error
    if not isinstance(record, dict) or "calibrations" not in record or "model" not in record:
        raise CalibrationError(f"{name} is no calibration file. {AGAIN}")
    return record


def _require_current(record: Mapping[str, Any], name: str) -> None:
    """Refuse other versions, by which the same settings might mean something else."""
    schema, version = record.get("schema_version"), record.get("backaudit")
    if record.get("format") != FORMAT or schema != SCHEMA_VERSION:
        raise CalibrationError(
            f"{name} has the form {printable(schema, 20)} of another version of backaudit; "
            f"{SCHEMA_VERSION} is read. {AGAIN}"
        )
    if version != own_version():
        raise CalibrationError(
            f"{name} was made by backaudit {printable(version, 20)}, and this is "
            f"{own_version()}. {AGAIN}"
        )


def _digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of the content, however it is laid out. It tells slips, not forgers."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _require_whole(calibration: Calibration, num_classes: int) -> None:
    """Refuse what no calibration could have measured.

    Raises:
        ValueError: says what.
    """
    method = printable(calibration.method, 40)
    scores, predicted = calibration.clean_scores, calibration.clean_predicted
    if not scores or len(scores) != len(predicted):
        raise ValueError(f"{method} has {len(scores)} clean scores of {len(predicted)} images")
    if not all(0 <= label < num_classes for label in predicted):
        raise ValueError(f"{method} names classes that the model does not have")
    rate = calibration.false_flag_rate
    kept = rate is not None and 0 < rate < 1 and len(scores) >= images_needed(rate)
    sources = {"method": rate is None, "false-flag-rate": kept}
    if not sources.get(calibration.threshold_source, False):
        raise ValueError(f"{method} has a threshold that its clean scores do not give")

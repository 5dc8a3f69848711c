import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backaudit.core.errors import CalibrationError
from backaudit.core.suspect import Making, Prepared, Preprocessing
from backaudit.firewall import calibration_file
from backaudit.firewall.calibration_file import (
    CalibrationFile,
    read_calibrations,
    render_calibrations,
)
from tests.firewall.toys import calibration

PREPARED = Prepared(
    sha256="ab" * 32,
    architecture="resnet18-cifar(width=8)",
    image_shape=(3, 12, 12),
    class_names=("cat", "\x1b[31mdog", "犬"),
    preprocessing=Preprocessing((12, 12), (0.1, 0.2, 0.3), (1.0, 1.0, 0.7), "own", "found"),
    making=Making("resnet18", (12, 12), False, {"reduced": [True, False]}, ("softmax",)),
    assumptions=("It was guessed.",),
    answers=((0.1, 1 / 3, -2e-9), (3.0, 4.0, 5.0)),
)
CALIBRATIONS = (
    calibration(),
    replace(calibration(method="strip"), fit={"pixels": "AAAA"}, notes=("a note",)),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c.json"
    path.write_text(render_calibrations(CalibrationFile(PREPARED, CALIBRATIONS)))
    return path


def change(file: Path, alter: Callable[[dict[str, Any]], object], *, sign: bool = False) -> None:
    record = json.loads(file.read_text())
    alter(record)
    if sign:
        del record["digest"]
        record["digest"] = calibration_file._digest(record)
    file.write_text(json.dumps(record))


def test_what_was_written_is_read(file: Path) -> None:
    found = read_calibrations(file)
    assert found == CalibrationFile(PREPARED, CALIBRATIONS)
    assert file.read_text().isascii()
    assert render_calibrations(found) == file.read_text()


def test_how_it_is_laid_out_does_not_matter(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()), sort_keys=True))
    assert read_calibrations(file) == CalibrationFile(PREPARED, CALIBRATIONS)


def test_another_model_is_refused(file: Path) -> None:
    found = read_calibrations(file)
    found.require("ab" * 32, Path("same.pt"))
    with pytest.raises(CalibrationError, match=r"another model \(SHA-256 abababab.*other\.pt"):
        found.require("cd" * 32, Path("other.pt"))


@pytest.mark.parametrize(
    "alter",
    [
        lambda record: record["calibrations"][0].update(threshold=0.99),
        lambda record: record["calibrations"].pop(),
        lambda record: record["model"].update(sha256="cd" * 32),
        lambda record: record.update(more=1),
        lambda record: record.pop("digest"),
    ],
)
def test_a_file_that_was_changed_by_hand_is_refused(
    file: Path, alter: Callable[[dict[str, Any]], object]
) -> None:
    change(file, alter)
    with pytest.raises(CalibrationError, match="changed after it was written"):
        read_calibrations(file)


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda record: record.update(schema_version="1"), "another version"),
        (lambda record: record.update(format="else"), "another version"),
        (lambda record: record.update(backaudit="0.0.1"), "made by backaudit 0.0.1"),
    ],
)
def test_another_version_is_refused(
    file: Path, alter: Callable[[dict[str, Any]], object], said: str
) -> None:
    change(file, alter, sign=True)
    with pytest.raises(CalibrationError, match=said):
        read_calibrations(file)


def first(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda record: record["calibrations"][0].update(changes)


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (first(threshold="0.9"), "threshold"),
        (first(threshold=float("nan")), "threshold"),
        (first(clean_scores=[0.1, 0.2, None, 0.3]), r"clean_scores\[2\]"),
        (first(clean_scores=[]), "0 clean scores of 4 images"),
        (first(clean_predicted=[0, 1, 2, 3]), "classes that the model does not have"),
        (first(clean_scores=[0.1], clean_predicted=[0]), "different images"),
        (first(false_flag_rate=0.01, threshold_source="false-flag-rate"), "do not give"),
        (first(threshold_source="guess"), "do not give"),
        (first(method="strip"), "two of one screener"),
        (first(more=1), "unknown entry"),
        (lambda record: record["calibrations"].clear(), "no calibration"),
        (lambda record: record["model"].update(image_shape=[3, 12]), "image_shape"),
    ],
)
def test_values_that_no_calibration_gives_are_refused(
    file: Path, alter: Callable[[dict[str, Any]], object], said: str
) -> None:
    change(file, alter, sign=True)
    with pytest.raises(CalibrationError, match=f"cannot be used.*{said}"):
        read_calibrations(file)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"model": {}}', "\x00\xff", '{"a":1,"a":2}'])
def test_what_is_no_calibration_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(CalibrationError, match="is no calibration file"):
        read_calibrations(path)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="No such file"):
        read_calibrations(tmp_path / "missing.json")
    with pytest.raises(CalibrationError, match="cannot be read"):
        read_calibrations(tmp_path)

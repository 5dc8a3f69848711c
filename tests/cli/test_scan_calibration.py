from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from backaudit.cli import scan
from backaudit.firewall.calibration_file import read_calibrations
from tests.audits import PSC, DoesNotFit
from tests.firewall.toys import Bright

Call = Callable[..., Result]


@dataclass(frozen=True)
class Scaled(Bright):
    """A screener with the setting that the fake detector has."""

    rule = PSC

    scale: float = 1.0
    threshold: float | None = 0.5


def test_the_calibration_that_is_saved_can_be_screened_with(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "SCREENERS", {"ibd-psc": Scaled})
    result = call("--save-calibration", "c.json", "--quiet")
    assert result.exit_code == 0
    found = read_calibrations(tmp_path / "c.json")
    assert found.prepared.sha256 == "3f2a9c01d4e5b6f7" * 4
    (calibration,) = found.calibrations
    assert calibration.method == "ibd-psc"
    assert calibration.settings["scale"] == 1.5
    assert calibration.threshold == 0.5
    assert len(calibration.clean_scores) == 250


def test_a_calibration_that_could_not_be_made_is_said(
    call: Call, fakes: dict[str, Any], tmp_path: Path
) -> None:
    @dataclass(frozen=True)
    class Misfit(DoesNotFit):
        """Does not fit."""

        rule = fakes["ibd-psc"].rule

    fakes["ibd-psc"] = Misfit
    result = call("--save-calibration", "c.json", "--quiet")
    assert "c.json is not written" in result.stderr
    assert not (tmp_path / "c.json").exists()

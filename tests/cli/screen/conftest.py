from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from backaudit.cli.app import app
from backaudit.cli.screen import calibrating
from backaudit.cli.screen.calibrating import Calibrated
from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Rule
from backaudit.core.suspect import Suspect
from backaudit.screeners import SCREENERS
from backaudit.screeners.interface import Scored
from tests.screenings import CALIBRATION
from tests.toy import SIZE, clean_set, suspect_of, toy_network

Call = Callable[..., Result]


class Brightness:
    how = "one pass"
    scale = 1.0

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, images: Tensor) -> Scored:
        return Scored(self.network(images), self.scale * images.mean((1, 2, 3)))


@dataclass(frozen=True)
class Bright:
    """Flags what is brighter than any clean image."""

    rule: ClassVar[Rule] = Rule("BA299", "bright", "Is it bright?")

    limit: float = 0.95

    @property
    def threshold(self) -> float:
        return self.limit

    def fit(self, suspect: Suspect, clean: CleanSet) -> Mapping[str, Any]:
        return {}

    def scorer(self, network: nn.Module, fit: Mapping[str, Any], example: Tensor) -> Brightness:
        return Brightness(network)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replaces loading by a fake; collects what it was called with."""
    calls: list[Any] = []
    suspect = suspect_of(toy_network())

    def load(model: Path, clean: Path, options: Any) -> tuple[Suspect, CleanSet]:
        calls.append((model, clean, options))
        return suspect, clean_set()

    def load_prepared(model: Path, prepared: Any, options: Any) -> Suspect:
        calls.append((model, prepared, options))
        return replace(suspect, sha256="1" * 64) if model.name == "other.pt" else suspect

    monkeypatch.setattr(calibrating, "load", load)
    monkeypatch.setattr(calibrating, "load_prepared", load_prepared)
    return calls


@pytest.fixture
def call(loads: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run ``backaudit screen model.pt`` in a folder with dark pictures and one bright one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SCREENERS, "bright", Bright)
    (tmp_path / "model.pt").write_text("weights")
    for name, light in (("dark/a.png", 10), ("dark/b.png", 20), ("mixed/evil.png", 255)):
        draw(Path(name), light)
    draw(Path("mixed/fine.png"), 30, side=20)

    def invoke(*arguments: str, lines: bytes | None = None, **environment: str) -> Result:
        given = ["screen", "model.pt", "--screeners", "bright", *arguments]
        return CliRunner(env={"COLUMNS": "100", **environment}).invoke(app, given, input=lines)

    return invoke


def draw(path: Path, light: int, side: int = SIZE) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (side, side), (light, light, light)).save(path)


def ready(*_: Any) -> Calibrated:
    calibration = replace(CALIBRATION, method="bright", settings={"limit": 0.95}, fit={})
    return Calibrated(suspect_of(toy_network()), (calibration,), "before")

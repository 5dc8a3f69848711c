import pytest
import torch

from backaudit.bench.purification.methods import Automatic, Single
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Evidence
from backaudit.core.suspect import Suspect
from backaudit.detectors.calibration import load_calibration
from backaudit.nets.guard import untouched
from tests.audits import Agrees, Reads, reading
from tests.conftest import ToyWorld
from tests.purifications import FitsNothing, Repairs, Wrecks
from tests.toy import clean_set


class Fires(Reads):
    """Finds something in every network."""

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        return reading(0.6, 0.31, 2, strong=0.5)


def detectors(monkeypatch: pytest.MonkeyPatch, *fakes: type[Reads]) -> None:
    listed = {fake.rule.name: fake for fake in fakes}
    monkeypatch.setattr("backaudit.purification.terms.DETECTORS", listed)


def test_one_purifier_runs_without_a_scan(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scanned(*_: object) -> None:
        raise AssertionError

    detectors(monkeypatch, Fires)
    monkeypatch.setattr("backaudit.purification.measuring.scan", scanned)
    network = toy_world.backdoored.network
    with untouched(network):
        made = Single(Repairs()).purify(toy_world.backdoored, toy_world.clean, seed=0)
    weights, repaired = next(network.parameters()), next(made.network.parameters())
    assert torch.equal(repaired, weights * 0.999 * 0.999)
    assert made.said["taken"] == "repairs"
    assert made.said["measurements"]["images"] == 72
    assert made.seconds > 0


def test_too_few_images_for_a_purifier_are_not_applicable(toy_world: ToyWorld) -> None:
    with pytest.raises(NotApplicableError, match="40"):
        Single(Repairs()).purify(toy_world.backdoored, clean_set(per_class=3), seed=0)


def test_auto_takes_the_best_of_several(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    detectors(monkeypatch, Fires, Agrees)
    method = Automatic((Wrecks(), FitsNothing(), Repairs()))
    made = method.purify(toy_world.backdoored, toy_world.clean, seed=0)
    assert made.said["taken"] == "repairs"
    kinds = [each["outcome"]["kind"] for each in made.said["tried"]]
    assert kinds == ["purified", "not-applicable", "purified"]
    assert made.said["audit"]["verdict"] == "backdoored"
    assert made.said["result"] == "still-found"
    weights = next(toy_world.backdoored.network.parameters())
    assert torch.equal(next(made.network.parameters()), weights * 0.999 * 0.999)


def test_auto_leaves_alone_what_its_scan_finds_nothing_in(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    detectors(monkeypatch, Reads, Agrees)
    made = Automatic((Wrecks(), Repairs())).purify(toy_world.backdoored, toy_world.clean, seed=0)
    assert (made.said["taken"], made.said["result"]) == (None, "nothing-found")
    assert made.network is toy_world.backdoored.network


def test_a_result_depends_on_every_setting_and_auto_on_thresholds_too() -> None:
    assert Single(Repairs(steps=3)).settings == {"factor": 0.999, "steps": 3}
    assert Single(Repairs()).calibration is None
    method = Automatic((Repairs(), Wrecks()))
    assert method.settings["wrecks"] == {"factor": 0.0, "steps": 2}
    assert method.calibration == load_calibration()
    assert method.name == "auto"

"""What is written is what was measured; real checkpoints, fake methods and detectors."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import CleanSetError, DivergedError, OutputError
from backaudit.core.evidence import Evidence
from backaudit.core.progress import observed_by
from backaudit.core.purification import Purification, Result
from backaudit.core.suspect import Preprocessing, Suspect
from backaudit.loading.load import load
from backaudit.nets.stages import Stages
from backaudit.purification import purify as purification
from backaudit.purification import written
from backaudit.purification.purify import purify
from backaudit.purification.terms import PurifyTerms
from backaudit.purifiers.interface import Measurements, Parts
from tests.audits import Reads
from tests.purifications import Diverges, Repairs, Wrecks

SAMPLES = Path(__file__).parents[2] / "sample_models"
CLEAN = SAMPLES / "clean"
NEGATIVE = Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3, "[-1, 1]", "made so")
Run = Callable[..., Purification]


@pytest.fixture(scope="module")
def loaded() -> tuple[Suspect, CleanSet]:
    return load(SAMPLES / "badnets.pt", CLEAN)


@pytest.fixture
def run(loaded: tuple[Suspect, CleanSet], tmp_path: Path) -> Run:
    def call(purifier: Any = None, output: str = "repaired.pt", **terms: Any) -> Purification:
        given = PurifyTerms(**{"detectors": (Reads(),), **terms})
        return purify(*loaded, (purifier or Repairs(),), tmp_path / output, given)

    return call


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_output_and_its_record_are_written_and_nothing_else(run: Run, tmp_path: Path) -> None:
    original = digest(SAMPLES / "badnets.pt")
    made = run()
    output = tmp_path / "repaired.pt"
    assert names(tmp_path) == ["repaired.pt", "repaired.pt.purify.json"]
    assert digest(SAMPLES / "badnets.pt") == original
    record = json.loads((tmp_path / "repaired.pt.purify.json").read_text())
    assert record["output"]["sha256"] == digest(output) != original
    assert record["suspect"]["sha256"] == original
    assert made.output is not None
    assert (made.output.sha256, made.output.written) == (digest(output), True)
    assert made.output.notes == ()


def test_what_was_measured_is_what_loads_from_the_output(
    run: Run, loaded: tuple[Suspect, CleanSet], tmp_path: Path
) -> None:
    made = run(clean=CLEAN)
    suspect, clean = loaded
    again, _ = load(tmp_path / "repaired.pt", CLEAN)
    assert made.repaired is not None
    assert made.repaired.path == tmp_path / "repaired.pt"
    assert made.repaired.sha256 == again.sha256
    logits = made.repaired.logits(clean.images)
    assert torch.equal(again.logits(clean.images), logits)
    assert not torch.equal(suspect.logits(clean.images), logits)


def test_a_method_that_changed_nothing_is_said_to(run: Run) -> None:
    made = run(Repairs(steps=0))
    assert made.output is not None
    assert made.output.notes == (
        "The method changed no weight: the result is the original network.",
    )


def test_a_result_that_lost_too_much_is_kept_aside_and_written_when_forced(
    run: Run, tmp_path: Path
) -> None:
    made = run(Wrecks())
    assert made.result is Result.TOO_INACCURATE
    assert made.output is not None
    assert not made.output.written
    assert names(tmp_path) == [".repaired.pt.purify"]

    again = run(Wrecks(), resume=True, force=True)
    assert names(tmp_path) == ["repaired.pt", "repaired.pt.purify.json"]
    assert again.output is not None
    assert again.output.sha256 == made.output.sha256
    assert again.method is not None
    assert made.method is not None
    assert again.method.seconds == made.method.seconds


def test_an_interrupted_run_goes_on_where_it_was(run: Run, tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if "shrinking" in what and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), observed_by(interrupt):
        run()
    assert names(tmp_path) == [".repaired.pt.purify"]
    with pytest.raises(OutputError, match="--resume"):
        run()
    with pytest.raises(OutputError, match="another seed"):
        run(resume=True, seed=1)
    with pytest.raises(OutputError, match="another method or setting"):
        run(Repairs(factor=0.9), resume=True)

    resumed = run(resume=True)
    assert names(tmp_path) == ["repaired.pt", "repaired.pt.purify.json"]
    whole = run(output="whole.pt")
    assert resumed.output is not None
    assert whole.output is not None
    assert resumed.output.sha256 == whole.output.sha256
    assert measurements(resumed)["began_at"] == 1
    assert measurements(whole)["began_at"] == 0


def measurements(made: Purification) -> Any:
    assert made.method is not None
    return made.method.outcome.measurements  # type: ignore[union-attr]


def test_training_that_diverged_leaves_nothing(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        run(Diverges())
    assert names(tmp_path) == []


class NeverRuns(Repairs):
    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        raise AssertionError("it ran")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("old.pt", "exists"),
        ("new.pt", r"new.pt.purify.json exists"),
        ("no/such/folder.pt", "folder"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_first(
    run: Run, tmp_path: Path, output: str, said: str
) -> None:
    (tmp_path / "old.pt").write_text("old")
    (tmp_path / "new.pt.purify.json").write_text("old")
    with pytest.raises(OutputError, match=said):
        run(NeverRuns(), output=output)


def test_an_output_that_cannot_be_written_is_refused_before_a_scan(
    run: Run, tmp_path: Path
) -> None:
    class NeverLooks(Reads):
        def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
            raise AssertionError("it looked")

    (tmp_path / "old.pt").write_text("old")
    with pytest.raises(OutputError, match="exists"):
        run(output="old.pt", scan_first=True, detectors=(NeverLooks(),))


def test_without_its_record_a_result_is_not_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, data: bytes) -> None:
        raise OutputError(f"{file} cannot be written: No space left on device")

    monkeypatch.setattr(purification, "write_whole", full)
    with pytest.raises(OutputError, match="No space left"):
        run()
    monkeypatch.undo()
    assert ".repaired.pt.purify" in names(tmp_path)
    made = run(resume=True, force=True)
    assert measurements(made)["began_at"] == 0
    assert names(tmp_path) == ["repaired.pt", "repaired.pt.purify.json"]


def test_weights_in_the_file_that_are_not_repaired_are_named(tmp_path: Path) -> None:
    state = torch.load(SAMPLES / "badnets.pt", weights_only=True)  # noqa: TID251
    averaged = {name: tensor.clone() for name, tensor in state["state_dict"].items()}
    torch.save({**state, "state_dict_ema": averaged}, tmp_path / "both.pt")
    terms = PurifyTerms(detectors=(Reads(),))
    both = load(tmp_path / "both.pt", CLEAN)
    made = purify(*both, (Repairs(),), tmp_path / "repaired.pt", terms)
    assert made.output is not None
    (note,) = made.output.notes
    assert note.startswith("Not repaired, and still in the file: the weights under state_dict_ema.")


def test_the_original_is_no_output(loaded: tuple[Suspect, CleanSet]) -> None:
    terms = PurifyTerms(detectors=(Reads(),), force=True)
    with pytest.raises(OutputError, match=r"what is being|original"):
        purify(*loaded, (NeverRuns(),), SAMPLES / "badnets.pt", terms)


def test_existing_files_are_replaced_when_forced(run: Run, tmp_path: Path) -> None:
    for name in ("repaired.pt", "repaired.pt.purify.json"):
        (tmp_path / name).write_text("old")
    made = run(force=True)
    assert made.output is not None
    assert digest(tmp_path / "repaired.pt") == made.output.sha256
    assert made.output.replaced


def test_nothing_was_replaced_where_nothing_lay(run: Run) -> None:
    made = run(force=True)
    assert made.output is not None
    assert not made.output.replaced


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"class_names": tuple("abcdefghijkl")}, "state them with --classes"),
        ({"architecture": "another"}, "with --arch or --model-def"),
        ({"preprocessing": NEGATIVE}, "--size 32x32 --mean 0,0,0 --std 1,1,1"),
    ],
)
def test_a_result_that_would_be_taken_for_something_else_says_which_options_it_takes(
    run: Run,
    loaded: tuple[Suspect, CleanSet],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    said: str,
) -> None:
    def other(*_: Any) -> tuple[Suspect, CleanSet]:
        return replace(loaded[0], **change), loaded[1]

    monkeypatch.setattr(written, "load", other)
    made = run(clean=CLEAN)
    assert made.output is not None
    assert made.output.written
    (note,) = made.output.notes
    assert said in note


def test_a_result_that_no_longer_loads_by_itself_is_loaded_as_it_was_prepared(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any) -> tuple[Suspect, CleanSet]:
        raise CleanSetError("wrong preprocessing or wrong classes.")

    monkeypatch.setattr(written, "load", refuse)
    made = run(clean=CLEAN)
    assert made.output is not None
    assert "wrong preprocessing" in made.output.notes[0]
    assert made.after is not None
    assert made.after.accuracy.rate > 0.9

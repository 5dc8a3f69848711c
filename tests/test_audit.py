from dataclasses import dataclass

import pytest
import torch
from torch import nn

from backaudit.audit import run_detector, scan
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import SuspectModifiedError
from backaudit.core.evidence import Evidence, Failed, NotApplicable
from backaudit.core.suspect import Suspect
from backaudit.core.verdict import Verdict
from tests.audits import (
    Agrees,
    Calibrates,
    Crashes,
    DoesNotFit,
    Interrupted,
    Meddles,
    Reads,
    clean_set,
    reading,
    suspect,
)


@dataclass(frozen=True)
class Rolls(Reads):
    """Draws a random score."""

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        return reading(torch.rand(()).item())


@dataclass(frozen=True)
class TrainsThenCrashes(Reads):
    """Leaves the network in training mode."""

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        suspect.network.train()
        raise RuntimeError("boom")


def test_every_detector_is_run_in_order_and_weighed() -> None:
    audit = scan(suspect(), clean_set(), [Reads(0.4), Agrees(0.4), Calibrates()], seed=3)
    assert [run.rule.name for run in audit.runs] == ["ban", "mm-bd", "ibd-psc"]
    assert audit.judgement.verdict is Verdict.BACKDOORED
    assert audit.judgement.target_classes == (5,)
    assert audit.seed == 3


def test_a_run_says_what_it_was_set_to_and_how_long_it_took() -> None:
    run = run_detector(Reads(restarts=8), suspect(), clean_set(), seed=7)
    assert run.settings == {"score": 0.12, "restarts": 8}
    assert run.seed == 7
    assert 0 < run.seconds < 60


def test_a_crash_is_an_outcome_and_hides_nothing() -> None:
    audit = scan(suspect(), clean_set(), [Crashes(), Agrees(0.6)])
    assert audit.runs[0].outcome == Failed("RuntimeError: boom")
    assert audit.judgement.verdict is Verdict.BACKDOORED


def test_a_crash_is_no_pass() -> None:
    audit = scan(suspect(), clean_set(), [Crashes(), Agrees()])
    assert audit.judgement.verdict is Verdict.INCONCLUSIVE


def test_a_misfit_is_an_outcome_with_its_reason_and_no_pass() -> None:
    audit = scan(suspect(), clean_set(), [DoesNotFit(), Agrees()])
    assert audit.runs[0].outcome == NotApplicable("the network has no normalisation layer.")
    assert audit.judgement.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("meddler", [Meddles(), TrainsThenCrashes()])
def test_a_detector_that_changes_the_suspect_ends_the_audit(meddler: Reads) -> None:
    with pytest.raises(SuspectModifiedError, match="of the suspect"):
        scan(suspect(), clean_set(), [meddler, Agrees(0.6)])


def test_an_interrupt_is_not_taken_for_a_crash() -> None:
    with pytest.raises(KeyboardInterrupt):
        scan(suspect(), clean_set(), [Interrupted(), Agrees()])


def test_the_same_seed_gives_the_same_score_whatever_ran_before() -> None:
    alone = scan(suspect(), clean_set(), [Rolls()], seed=1)
    after = scan(suspect(), clean_set(), [Crashes(), Rolls(), Rolls()], seed=1)
    other = scan(suspect(), clean_set(), [Rolls()], seed=2)
    assert alone.runs[0].outcome == after.runs[1].outcome == after.runs[2].outcome
    assert alone.runs[0].outcome != other.runs[0].outcome


def test_the_callers_random_state_is_left_alone() -> None:
    model = suspect()
    before = torch.random.get_rng_state()
    scan(model, clean_set(), [Rolls(), Crashes()])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_network_with_missing_numbers_is_compared_without_false_alarm() -> None:
    strange = suspect()
    assert isinstance(strange.network, nn.Sequential)
    with torch.no_grad():
        next(strange.network.parameters())[0, 0] = torch.nan
    assert isinstance(run_detector(Reads(), strange, clean_set(), seed=0).outcome, Evidence)

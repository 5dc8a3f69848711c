from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import DivergedError, NotApplicableError, SettingError
from backaudit.core.evidence import Evidence, Failed, NotApplicable
from backaudit.core.purification import Candidate, Detected, Purification, Result
from backaudit.core.suspect import Suspect
from backaudit.core.verdict import Verdict
from backaudit.nets.guard import untouched
from backaudit.purification.purify import purify
from backaudit.purification.terms import PurifyTerms
from backaudit.purification.triggered import Triggered
from tests.audits import Reads, reading
from tests.conftest import ToyWorld
from tests.purifications import (
    FAKES,
    Diverges,
    Falls,
    FitsNothing,
    LeavesNaN,
    Repairs,
    Wrecks,
)
from tests.toy import TARGET, clean_set

NOTHING = Detected(Verdict.NO_EVIDENCE, (), "a scan")
SOMETHING = Detected(Verdict.BACKDOORED, (2,), "a scan")


class Fires(Reads):
    """Finds something in every network."""

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        return reading(0.6, 0.31, 2, strong=0.5)


class FindsTheOriginal(Reads):
    """Finds something until the weights are another's."""

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        large = float(next(suspect.network.parameters()).norm()) > ORIGINAL_NORM
        return reading(0.6 if large else 0.1, 0.31, 2, strong=0.5)


ORIGINAL_NORM = 0.0


@pytest.fixture(autouse=True)
def norm(toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    own = float(next(toy_world.backdoored.network.parameters()).norm())
    monkeypatch.setattr("tests.purification.test_purify.ORIGINAL_NORM", own * 0.9995)


def run(
    world: ToyWorld, *purifiers: Any, clean: CleanSet | None = None, **terms: Any
) -> Purification:
    chosen: Sequence[Any] = purifiers or (Repairs(),)
    given = PurifyTerms(**{"detectors": (FindsTheOriginal(),), **terms})
    return purify(world.backdoored, clean or world.clean, chosen, terms=given)


def test_a_copy_is_repaired_and_measured_before_and_after(toy_world: ToyWorld) -> None:
    with untouched(toy_world.backdoored.network):
        made = run(toy_world)
    assert made.result is Result.PURIFIED
    assert made.before.judgement.verdict is Verdict.BACKDOORED
    assert made.after is not None
    assert made.after.judgement.verdict is Verdict.NO_EVIDENCE
    assert made.repaired is not None
    weights = next(toy_world.backdoored.network.parameters())
    assert torch.equal(next(made.repaired.network.parameters()), weights * 0.999 * 0.999)
    assert not any(each.requires_grad for each in made.repaired.network.parameters())
    assert made.method is not None
    assert isinstance(made.method.outcome, Candidate)
    assert made.method.outcome.measurements == {"images": 72, "began_at": 0}
    assert (made.output, made.trigger) == (None, "")


def test_what_is_still_found_is_said(toy_world: ToyWorld) -> None:
    made = run(toy_world, detectors=(Fires(),))
    assert (made.result, made.result.exit_code) == (Result.STILL_FOUND, 1)
    assert made.rescanned is None


def test_what_only_a_scan_with_all_images_finds_counts(toy_world: ToyWorld) -> None:
    class NeedsMany(Reads):
        def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
            many = len(clean) == len(toy_world.clean)
            return reading(0.6 if many else 0.1, 0.31, 2, strong=0.5)

    made = run(toy_world, detectors=(NeedsMany(),))
    assert made.after is not None
    assert made.after.judgement.verdict is Verdict.NO_EVIDENCE
    assert made.rescanned is not None
    assert made.rescanned.verdict is Verdict.BACKDOORED
    assert made.result is Result.STILL_FOUND


def test_a_check_that_could_not_be_made_again_is_no_pass(toy_world: ToyWorld) -> None:
    class Blind(Reads):
        def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
            raise NotApplicableError("too dark.")

    made = run(toy_world, detectors=(Blind(),))
    assert (made.result, made.result.exit_code) == (Result.INCONCLUSIVE, 4)


def test_a_network_that_lost_its_accuracy_is_no_result_unless_forced(toy_world: ToyWorld) -> None:
    made = run(toy_world, Wrecks())
    assert (made.result, made.result.exit_code) == (Result.TOO_INACCURATE, 1)
    assert made.accuracy_drop == pytest.approx(100 * (made.before.accuracy.rate - 5 / 30), abs=1e-9)
    assert run(toy_world, Wrecks(), force=True).result is Result.PURIFIED
    assert run(toy_world, Wrecks(), max_accuracy_drop=100.0).result is Result.PURIFIED


def test_a_drop_of_exactly_what_may_be_lost_is_kept(toy_world: ToyWorld) -> None:
    drop = run(toy_world, Wrecks()).accuracy_drop
    assert run(toy_world, Wrecks(), max_accuracy_drop=drop).keeps_accuracy
    assert not run(toy_world, Wrecks(), max_accuracy_drop=drop - 0.1).keeps_accuracy


def test_where_a_scan_found_nothing_nothing_is_changed_unless_forced(toy_world: ToyWorld) -> None:
    made = run(toy_world, detected=NOTHING)
    assert (made.result, made.result.exit_code) == (Result.NOTHING_FOUND, 0)
    assert (made.tried, made.after, made.repaired) == ((), None, None)
    forced = run(toy_world, detected=NOTHING, force=True)
    assert (forced.result, forced.despite_scan) == (Result.PURIFIED, True)
    named = run(toy_world, detected=NOTHING, only_if_found=False, force=True)
    assert (named.result, named.despite_scan) == (Result.PURIFIED, False)
    assert not run(toy_world, detected=SOMETHING, force=True).despite_scan


def test_a_scan_is_made_first_if_asked_for_and_nobody_made_one(toy_world: ToyWorld) -> None:
    made = run(toy_world, scan_first=True)
    assert made.detected is not None
    assert (made.detected.verdict, made.result) == (Verdict.BACKDOORED, Result.PURIFIED)
    assert run(toy_world, scan_first=True, detectors=(Reads(),)).result is Result.NOTHING_FOUND
    assert run(toy_world, scan_first=True, detected=SOMETHING).detected == SOMETHING
    assert run(toy_world).detected is None


def test_the_trigger_is_shown_to_both_networks_and_to_no_method(toy_world: ToyWorld) -> None:
    clean = clean_set(per_class=10, seed=8)
    others = clean.take((clean.labels != TARGET).nonzero().flatten())
    stamped = toy_world.attack.stamp(others.images, {})
    triggered = Triggered(stamped, others.labels, TARGET, "50 images")
    made = run(toy_world, triggered=triggered)
    assert made.before.attack is not None
    assert made.before.attack.success.rate > 0.9
    assert made.after is not None
    assert made.after.attack is not None
    assert made.trigger_works
    assert made.result is Result.STILL_FOUND
    assert made.trigger == "50 images"


def test_errors_of_a_single_method_are_raised(toy_world: ToyWorld) -> None:
    with pytest.raises(DivergedError, match="step 3 of 20"):
        run(toy_world, Diverges())
    with pytest.raises(DivergedError, match="leaves-nan left NaN or infinite numbers in"):
        run(toy_world, LeavesNaN())
    with pytest.raises(NotApplicableError, match="no batch norm"):
        run(toy_world, FitsNothing())
    with pytest.raises(ZeroDivisionError):
        run(toy_world, Falls())
    with pytest.raises(SettingError, match="no purifier is named"):
        purify(toy_world.backdoored, toy_world.clean, ())


def test_what_was_infinite_before_may_stay_so(toy_world: ToyWorld) -> None:
    network = deepcopy(toy_world.backdoored.network)
    network.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    masked = replace(toy_world.backdoored, network=network)
    terms = PurifyTerms(detectors=(Reads(),))
    assert purify(masked, toy_world.clean, [Repairs()], terms=terms).after is not None


def test_of_several_methods_the_others_go_on(toy_world: ToyWorld) -> None:
    made = run(toy_world, Diverges(), FitsNothing(), Falls(), LeavesNaN(), Repairs(), Wrecks())
    kinds = [type(each.outcome) for each in made.tried]
    assert kinds == [Failed, NotApplicable, Failed, Failed, Candidate, Candidate]
    assert made.chosen == 4
    assert made.tried[2].outcome == Failed("ZeroDivisionError: by zero")
    wrecked = made.tried[5].outcome
    assert isinstance(wrecked, Candidate)
    assert (wrecked.keeps_accuracy, wrecked.good_enough) == (False, False)


def test_if_no_method_could_be_applied_the_reasons_are_given(toy_world: ToyWorld) -> None:
    with pytest.raises(NotApplicableError, match=r"fits-nothing: .* diverges: .* step 3"):
        run(toy_world, FitsNothing(), Diverges())


def test_further_methods_are_tried_only_while_none_is_good_enough(toy_world: ToyWorld) -> None:
    gentler = Repairs(factor=0.998)
    assert len(run(toy_world, Repairs(), gentler, Wrecks(), first_good=True).tried) == 1
    assert len(run(toy_world, Wrecks(), Wrecks(), Repairs(), gentler, first_good=True).tried) == 3
    assert len(run(toy_world, Repairs(), gentler, Wrecks()).tried) == 3


def test_choosing_and_measuring_see_other_images_and_other_draws(toy_world: ToyWorld) -> None:
    made = run(toy_world, Repairs(), Wrecks(), seed=4)
    assert made.after is not None
    chosen = made.tried[0].outcome
    assert isinstance(chosen, Candidate)
    assert chosen.validation.images == len(made.split.validation) == 18
    assert made.after.accuracy.images == len(made.split.test) == 30
    assert [run.seed for run in chosen.runs] == [5]
    assert [run.seed for run in made.after.runs] == [4]


def test_a_method_that_needs_more_images_is_refused_before_anything_is_measured(
    toy_world: ToyWorld,
) -> None:
    needy = type("Needy", (Repairs,), {"fewest_images": 73})
    with pytest.raises(NotApplicableError, match="repairs needs 73 images to train on"):
        run(toy_world, needy(), detectors=())
    made = run(toy_world, needy(), Repairs())
    assert [type(each.outcome) for each in made.tried] == [NotApplicable, Candidate]


def test_images_without_labels_are_allowed(toy_world: ToyWorld) -> None:
    clean = toy_world.clean
    predicted = toy_world.backdoored.logits(clean.images).argmax(1)
    unlabelled = replace(clean, labels=predicted, labelled=False, accuracy=None)
    made = run(toy_world, clean=unlabelled)
    assert made.before.accuracy.rate == 1.0
    assert "no labels" in made.split.warnings[0]


def test_the_callers_random_numbers_and_the_fakes_are_left_alone(toy_world: ToyWorld) -> None:
    random = torch.random.get_rng_state()
    before = deepcopy(toy_world.clean)
    run(toy_world)
    assert torch.equal(random, torch.random.get_rng_state())
    assert torch.equal(before.images, toy_world.clean.images)
    assert set(FAKES) == {each.rule.name for each in FAKES.values()}

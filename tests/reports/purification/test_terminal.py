from dataclasses import replace
from pathlib import Path

import pytest

from backaudit.core.evidence import Failed, NotApplicable
from backaudit.core.purification import Detected, Output, Purification
from backaudit.core.verdict import Verdict
from backaudit.reports.purification.terminal import render
from backaudit.reports.purification.wording import forced
from tests.audits import clean_set, suspect
from tests.purifications import FOUND, attack, candidate, measured, purification, tried

NASTY = "[red]evil[/red]\x1b[31m\u202e\n"


def text(made: Purification) -> str:
    return " ".join(render(made).replace("│", " ").split())


def test_it_tells_what_was_lost_and_found_before_and_after() -> None:
    said = text(purification())
    assert "PURIFIED" in said
    assert "The detectors find no evidence in the result. That is no proof of its absence." in said
    assert "Accuracy 95.0% before, 95.0% after, on 20 images" in said
    assert "backdoored: 'dog' (class 5) no-evidence" in said
    assert "0.58 FIRES, threshold 0.31 0.12 below, threshold 0.31" in said
    assert "ibd-psc amplified, 80.0% go to 'dog' (class 5)" in said
    assert "48 to train on, 12 to choose by, 20 to measure accuracy on" in said
    assert "the detectors look at 32" in said
    assert "How often the trigger still works cannot be known without it" in said
    assert "repaired.pt.purify.json" in said
    assert "seed 7, exit code 0" in said


def test_nothing_is_ever_called_clean_or_safe() -> None:
    for made in (purification(), purification(after=measured((), FOUND))):
        said = text(made).lower()
        assert "safe" not in said
        assert "backdoor-free" not in said


def test_a_result_in_which_something_is_found_warns() -> None:
    said = text(purification(after=measured((), FOUND)))
    assert "STILL SUSPICIOUS" in said
    assert "Do not deploy it." in said
    assert "exit code 1" in said


def test_a_trigger_that_still_works_is_the_headline_whatever_the_detectors_say() -> None:
    known = purification(
        trigger="40 images from ./evil, target 'dog' (class 5)",
        before=replace(measured((), FOUND), attack=attack(40, 0)),
        after=replace(measured(), attack=attack(30, 6)),
    )
    said = text(known)
    assert "TRIGGER STILL WORKS" in said
    assert "The trigger still works on the result." in said
    assert "Trigger works 100.0% (95% interval 91.2 to 100.0%) 75.0%" in said
    assert "Trigger: right 0.0% (95% interval 0.0 to 8.8%) 15.0%" in said
    assert "40 images from ./evil" in said
    assert "cannot be known without it" not in said


def test_a_result_that_lost_too_much_says_what_and_how_to_have_it_all_the_same() -> None:
    made = purification(
        after=measured(range(5)), output=Output(Path("repaired.pt"), "ab" * 32, False)
    )
    said = text(made)
    assert "NOT WRITTEN" in said
    assert "loses 20.0 points of accuracy, and 3.0 points may be lost" in said
    assert "of 20 images: 4 lost, 0 won" in said
    assert "repaired.pt was not written" in said
    assert "--resume --force" in said
    assert "SHA-256 abab" not in said


def test_each_thing_that_was_forced_is_named_and_no_other() -> None:
    replaced = Output(Path("repaired.pt"), "ab" * 32, True, replaced=True)
    (worse,) = forced(purification(force=True, after=measured(range(5))))
    assert "loses 20.0 points" in worse
    (despite,) = forced(purification(force=True, despite_scan=True))
    assert despite == "The scan found no evidence of a backdoor: only --force had it purified."
    (over,) = forced(purification(force=True, output=replaced))
    assert over == "repaired.pt existed: --force replaced it."
    assert list(forced(purification(force=True))) == []


def test_a_worse_result_that_was_forced_is_warned_of() -> None:
    said = text(purification(after=measured(range(5)), force=True))
    assert "Warning It loses 20.0 points of accuracy, more than the 3.0 points" in said
    assert "Warning" not in text(purification(force=True))


@pytest.mark.parametrize(("hits", "warned"), [(0, True), (6, True), (20, False), (40, False)])
def test_a_trigger_that_never_worked_proves_nothing(hits: int, warned: bool) -> None:
    before = replace(measured((), FOUND), attack=attack(hits))
    said = text(purification(before=before, after=replace(measured(), attack=attack(0))))
    assert ("so they prove nothing about the result" in said) is warned


def test_what_a_scan_said_before_is_told() -> None:
    found = Detected(Verdict.SUSPICIOUS, (5,), "audit.json")
    said = text(purification(detected=found))
    assert "Scan before: suspicious towards 'dog' (class 5), by audit.json" in said


def test_what_a_scan_with_all_images_finds_in_the_result_counts() -> None:
    found = Detected(Verdict.SUSPICIOUS, (5,), "a scan with all 80 clean images")
    said = text(purification(rescanned=found))
    assert "STILL SUSPICIOUS" in said
    assert "Scan after: suspicious towards 'dog' (class 5), by a scan with all 80" in said


def test_the_classes_that_changed_are_named_worst_first_and_the_rest_counted() -> None:
    said = text(purification(before=measured((9,)), after=measured((0, 10, 1, 2, 3, 4, 5))))
    first, second = said.index("'plane' (class 0): 2 of 2 before, 0 after"), said.index("'car'")
    assert first < second
    assert "and 2 more; `--report json` has all" in said
    assert "no class of 10 changed" in text(purification())


def test_all_that_was_tried_is_listed_with_the_one_that_was_taken() -> None:
    made = purification(
        tried=(
            tried(candidate(0.5, FOUND, drop=8.0)),
            tried(NotApplicable("the network has no batch norm.")),
            tried(Failed("the loss became NaN at step 3.")),
            tried(candidate()),
        ),
        chosen=3,
    )
    said = text(made)
    assert "50.0% of 12 images to choose by, too inaccurate, backdoored (12 s)" in said
    assert "did not apply: the network has no batch norm." in said
    assert "failed: the loss became NaN at step 3." in said
    assert "100.0% of 12 images to choose by, no-evidence (12 s), taken" in said
    assert "Tried" not in text(purification())


def test_where_nothing_was_found_it_says_that_nothing_was_changed() -> None:
    found = Detected(Verdict.NO_EVIDENCE, (), "a scan with all 80 clean images")
    said = text(
        purification(detected=found, tried=(), chosen=None, after=None, repaired=None, output=None)
    )
    assert "NOTHING TO REPAIR" in said
    assert "so nothing was changed. That is not proof of its absence." in said
    assert "By a scan with all 80 clean images." in said
    assert "measured" in said
    assert "--force" in said


def test_without_labels_it_speaks_of_agreement() -> None:
    said = text(purification(clean=clean_set(None, 80)))
    assert "Agreement with the original 95.0% before" in said
    assert "0 no longer predicted as by the original" in said


def test_warnings_of_the_images_and_notes_of_the_output_are_shown() -> None:
    base = purification()
    split = replace(base.split, warnings=("Without a clean image: 1 class, 'ship'.",))
    output = Output(Path("repaired.pt"), "ab" * 32, True, ("state its classes.",))
    said = text(replace(base, split=split, output=output))
    assert "Warning Without a clean image: 1 class, 'ship'." in said
    assert "state its classes." in said


@pytest.mark.parametrize("where", ["name", "path", "reason"])
def test_hostile_text_stays_harmless(where: str) -> None:
    made = purification(
        before=measured((0, 10), FOUND),
        tried=(tried(NotApplicable(NASTY if where == "reason" else "no")), tried(candidate())),
        chosen=1,
        suspect=suspect(
            (NASTY, *"bcdefghij") if where == "name" else tuple("abcdefghij"),
            path=Path(NASTY if where == "path" else "m.pt"),
        ),
    )
    said = render(made)
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "[red]evil" in said

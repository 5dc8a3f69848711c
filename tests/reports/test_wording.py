import pytest

from backaudit.core.evidence import Failed, NotApplicable
from backaudit.core.verdict import Audit
from backaudit.reports.wording import (
    accuracy,
    because,
    class_label,
    class_list,
    finding,
    headline,
    number,
)
from tests import audits
from tests.audits import BAN, MMBD, NAMES, audit, clean_set, reading, run_of, suspect

FIRES = run_of(BAN, reading(0.4, 0.31, 5, strong=0.5))
STRONG = run_of(BAN, reading(0.6, 0.31, 5, strong=0.5))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("dog", "'dog' (class 5)"),
        ("5", "class 5"),
        ("class 5", "class 5"),
        ("class_5", "class 5"),
        ("", "class 5"),
        ("do\x1bg", "'do\\x1bg' (class 5)"),
        ("dog' (class 1), 'x", "'dog\\' (class 1), \\'x' (class 5)"),
    ],
)
def test_a_class_has_its_name_and_number(name: str, label: str) -> None:
    assert class_label(suspect((*NAMES[:5], name)), 5) == label


def test_a_class_without_a_name_has_its_number() -> None:
    assert class_label(suspect(), 99) == "class 99"


def test_long_names_are_shortened() -> None:
    assert len(class_label(suspect(("x" * 10_000,)), 0)) < 50


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ((), ""),
        ((5,), "'dog' (class 5)"),
        ((5, 3), "'dog' (class 5) or 'cat' (class 3)"),
        ((5, 3, 0, 1, 2), "'dog' (class 5), 'cat' (class 3), 'plane' (class 0) and 2 more"),
    ],
)
def test_several_classes_in_words(classes: tuple[int, ...], words: str) -> None:
    assert class_list(suspect(), classes) == words


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (audits.backdoored(), "would likely be classified as 'dog' (class 5)"),
        (audits.suspicious(), "signs of a backdoor towards 'dog' (class 5), too weak"),
        (audits.no_evidence(), "No evidence of a backdoor was found. That is not proof of its"),
        (audits.inconclusive(), "a required check could not be made. This is no pass."),
        (audit(run_of(BAN, reading(0.6, 0.31, strong=0.5))), "likely be misclassified"),
    ],
)
def test_the_headline_is_plain_and_never_says_clean_or_safe(of: Audit, said: str) -> None:
    assert said in headline(of)
    assert "safe" not in headline(of).lower()
    assert "clean" not in headline(of).lower()


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (audit(STRONG, run_of(MMBD, reading(1, 4))), "ban found enough to decide alone."),
        (audit(STRONG, run_of(MMBD, reading(5, 4, 5))), "alone; mm-bd found the same class."),
        (audit(STRONG, run_of(MMBD, reading(5, 4, 2))), "alone; mm-bd found another class."),
        (audit(FIRES, run_of(MMBD, reading(5, 4, 5))), "ban and mm-bd name the same class."),
        (audit(FIRES, run_of(MMBD, reading(5, 4, 2))), "do not agree on a class"),
        (audit(FIRES, run_of(MMBD, reading(1, 4))), "Only ban found something"),
        (audits.no_evidence(), "ban and mm-bd ran and stayed below"),
        (audits.inconclusive(), "Without a usable reading: ban and mm-bd."),
        (
            audit(run_of(BAN, reading(0.1)), run_of(MMBD, reading(1, 4, experimental=True))),
            "Without a usable reading: mm-bd.",
        ),
        (audit(), "Without a usable reading: every required check."),
    ],
)
def test_why_the_verdict_is_what_it_is(of: Audit, said: str) -> None:
    assert said in because(of)


def test_a_finding_has_its_score_threshold_and_class() -> None:
    assert finding(suspect(), FIRES) == (
        "ban scores 0.40, at or above its threshold of 0.31 and points at 'dog' (class 5)."
    )


@pytest.mark.parametrize("outcome", [NotApplicable("no"), Failed("boom"), reading(0.1, None)])
def test_a_run_without_a_threshold_has_no_score_to_report(outcome: object) -> None:
    assert finding(suspect(), run_of(BAN, outcome)) == BAN.title  # type: ignore[arg-type]


def test_accuracy_has_its_count_and_interval() -> None:
    assert accuracy(clean_set(0.85, 200)) == (
        "85.0% of 200 clean images (95% interval 79.4 to 89.3%)"
    )
    assert "no labels" in accuracy(clean_set(None))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.00"),
        (0.583, "0.58"),
        (6.2, "6.20"),
        (0.0123, "0.01"),
        (0.00123, "0.00123"),
        (12345.6, "1.23e+04"),
    ],
)
def test_numbers_have_the_digits_a_reader_needs(value: float, shown: str) -> None:
    assert number(value) == shown

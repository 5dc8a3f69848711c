import io
from dataclasses import replace

import pytest
from rich.console import Console

from backaudit.core.verdict import Audit
from backaudit.reports.terminal import page, render
from tests import audits
from tests.audits import BAN, NAMES, PER_CLASS, audit, clean_set, reading, report, run_of, suspect

ALL = [audits.backdoored(), audits.suspicious(), audits.no_evidence(), audits.inconclusive()]
VERDICTS = [of.judgement.verdict.value for of in ALL]


def shown(of: Audit, width: int = 80, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, color_system=None)
    with console.capture() as captured:
        console.print(page(report(of)))
    return captured.get()


@pytest.mark.parametrize("of", ALL, ids=VERDICTS)
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_report_fits_its_width_and_one_screen(of: Audit, width: int) -> None:
    lines = shown(of, width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= (44 if width >= 80 else 60)


@pytest.mark.parametrize("of", ALL, ids=VERDICTS)
def test_the_report_tells_what_a_decision_needs(of: Audit) -> None:
    text = render(report(of))
    for part in (
        of.judgement.verdict.value.upper(),
        of.suspect.sha256,
        "85.3% of 500 clean images (95% interval",
        "wide-resnet-16-1, 10 classes, 1x2x2 pixels",
        "chosen among 6 conventions",
        "folder names match the class list",
        "dropout before each second convolution",
        "Not checked",
        "exit code 1",
        "seed 0",
    ):
        assert part in text


def test_a_finding_shows_score_threshold_class_and_provenance() -> None:
    text = " ".join(render(report(audits.backdoored())).split())
    assert "0.58 FIRES, threshold 0.31" in text
    assert "Points at 'dog' (class 5)." in text
    assert "Expect at most 2.6% of benign models like those to score this high." in text
    assert "highest of 38 benign models" in text
    assert "┃" in text


def test_the_highest_classes_are_ranked_and_missing_numbers_left_out() -> None:
    scores = [*PER_CLASS[:6], float("nan"), *PER_CLASS[7:]]
    text = render(report(audit(run_of(BAN, reading(0.58, measurements={"per_class": scores})))))
    ranking = text[text.index("Top classes") :]
    assert ranking.index("'dog'") < ranking.index("'cat'") < ranking.index("'truck'")
    assert "'frog'" not in ranking


def test_what_a_check_cannot_see_is_said_for_those_that_ran() -> None:
    assert "ban is blind to: all-to-all" in render(report(audits.no_evidence()))
    assert "physical world" in render(report(audits.no_evidence()))
    assert "physical world" not in render(report(audits.backdoored()))
    assert "blind" not in render(report(audits.inconclusive()))


def test_a_check_that_did_not_run_says_why_and_shows_no_score() -> None:
    text = " ".join(render(report(audits.inconclusive())).split())
    assert "ban did not apply, see 'Not checked'" in text
    assert "ban did not apply: the network has no normalisation layer." in text
    assert "mm-bd crashed: RuntimeError: the size of tensor" in text
    assert "FIRES" not in text


def test_an_uncalibrated_reading_says_so() -> None:
    low = render(report(audit(run_of(BAN, reading(0.1, experimental=True)))))
    high = render(report(audit(run_of(BAN, reading(0.5, 0.31, 5, experimental=True)))))
    assert "so this is no pass" in " ".join(low.split())
    assert "be careful with it" in " ".join(high.split())


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -3.0, 0.0, 1e9])
def test_strange_scores_do_not_break_the_report(score: float) -> None:
    text = render(report(audit(run_of(BAN, reading(score, 0.31, 5)))))
    assert ("no reading" in text) is (score != score)


def test_a_reading_without_threshold_only_measures() -> None:
    assert "only measures" in render(report(audit(run_of(BAN, reading(0.2, None)))))


def test_unlabelled_images_are_said_to_be() -> None:
    text = " ".join(render(report(replace(audits.no_evidence(), clean=clean_set(None)))).split())
    assert "without labels (the model's own answers stand in)" in text
    assert "not known, because the images have no labels" in text


def test_names_from_files_cannot_steer_the_terminal() -> None:
    evil = "[red]x[/nope]\x1b[2J\u202e:smile:\r\n"
    hostile = suspect((evil,) * len(NAMES), architecture=evil, assumptions=(evil,))
    images = replace(clean_set(), source=evil, class_matching=evil)
    of = audit(run_of(BAN, reading(0.58, 0.31, 5, measurements={"per_class": PER_CLASS})))
    text = render(report(replace(of, suspect=hostile, clean=images)))
    assert "[red]x[/nope]" in text
    assert ":smile:" in text
    assert not {"\x1b", "\u202e", "\r"} & set(text)


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert shown(audits.backdoored(), encoding="ascii").isascii()


def test_a_file_has_no_colours_and_no_trailing_space() -> None:
    text = render(report(audits.backdoored()))
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_an_audit_without_any_run_is_still_a_report() -> None:
    assert "INCONCLUSIVE" in render(report(audit(), exit_code=4))

import io
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image as Pillow

from backaudit.reports.screening import html, terminal
from backaudit.reports.screening.pictures import LARGEST, png
from backaudit.reports.screening.report import Counts
from tests.audits import suspect
from tests.screenings import CALIBRATION, Flags, Image, Test, screening

NASTY = "</td><script>alert(1)</script>\"' onerror=x [red]\x1b[31m\u202e\udcff"


def test_the_page_says_the_result_first() -> None:
    text = terminal.render(screening())
    assert "12 OF 300 FLAGGED" in text.splitlines()[0]
    flat = re.sub(r"[\s│]+", " ", text)
    assert "12 of 300 images flagged; 3.0 expected if all were clean (p < 0.0001)." in flat
    assert "Clean images predicted as the same classes do not explain that many." in flat
    assert "10 flagged images are predicted as 'dog' (class 5); flagged of clean images" in flat
    assert "clean images predicted so: 1 of 1." in flat


def test_the_page_names_what_flagged_images_share_and_what_was_done() -> None:
    flat = re.sub(r"\s+", " ", terminal.render(screening()))
    for said in (
        "threshold 0.90, the method's own; flags 1.0% of clean images",
        "'dog' (class 5) 10 of 100; clean images: 1 of 1",
        "answers mostly 'dog' (class 5) (80.0% of clean images)",
        "graph: one prefix",
        "150 images a second",
        "0.99 FLAGGED 'dog' (class 5) evil.png",
        "0.20 'cat' (class 3) fine.png",
        "Scales up to 1.5.",
    ):
        assert said in flat


def test_no_flag_is_no_proof() -> None:
    none = screening(test=Test(flagged=0, p_value=1.0), per_class=(Flags(3, 300, 0),), pictures=())
    text = terminal.render(none)
    assert "None of 300 images was flagged. That proves none of them clean." in text
    assert "Flagged by" not in text


def test_few_flags_are_explained_by_clean_images() -> None:
    test = Test(flagged=2, p_value=0.8, mix_p_value=0.7)
    few = screening(test=test, per_class=(Flags(3, 9, 1), Flags(4, 9, 1)))
    text = re.sub(r"[\s│]+", " ", terminal.render(few))
    assert "mix of classes" not in text
    assert "(p = 0.8). Clean images predicted as the same classes could explain that many. " in text


def test_what_another_mix_of_classes_explains_is_told_apart() -> None:
    text = re.sub(r"[\s│]+", " ", terminal.render(screening(test=Test(p_value=0.4, expected=11))))
    assert (
        "12 of 300 images flagged; 11 expected if all were clean (p = 0.4). Clean images predicted "
        "as the same classes could explain that many. Clean images of the calibration's mix of "
        "classes do not explain them: 3.0 expected (p < 0.0001)."
    ) in text


@pytest.mark.parametrize("render", [terminal.render, html.render])
def test_images_of_classes_that_clean_ones_do_not_show_are_named_and_not_tested(
    render: "object",
) -> None:
    page = render(screening(test=Test(untested_images=20, untested_flagged=4)))  # type: ignore[operator]
    text = re.sub(r"(\s|│)+", " ", page)
    assert "8 of the 280 that can be tested, with 3.0 expected if all were clean (p " in text
    assert (
        "Not tested: 20 images (4 flagged) that are predicted as a class that no held-out clean "
        "image is predicted as."
    ) in text


def test_where_no_image_can_be_tested_clean_ones_explain_nothing() -> None:
    none = Test(9, 3, 0.0, p_value=1.0, untested_images=9, untested_flagged=3)
    text = re.sub(r"[\s│]+", " ", terminal.render(screening(test=none)))
    assert "3 of 9 images flagged; 0 of these images can be tested. Clean images of the cal" in text
    assert "could explain that many" not in text


def test_without_a_flag_nothing_is_left_out_of_a_test() -> None:
    none = screening(test=Test(flagged=0, p_value=1.0, untested_images=5), pictures=())
    assert "Not tested" not in terminal.render(none)


def test_a_threshold_for_a_rate_says_which() -> None:
    rated = replace(CALIBRATION, threshold_source="false-flag-rate", false_flag_rate=0.01)
    text = re.sub(r"\s+", " ", terminal.render(screening(calibrations=(rated,))))
    assert "set for at most 1.0% of clean images of the calibration's mix of classes" in text


@pytest.mark.parametrize("render", [terminal.render, html.render])
def test_what_was_not_screened_is_said(render: "object") -> None:
    sized = replace(suspect(), image_shape=(3, 28, 30))
    counts = Counts(
        resized=7,
        left_out=2,
        unreadable=8,
        unreadable_named=[(f"in/{index}.png", "truncated") for index in range(8)],
        copied=3,
    )
    page = render(screening(counts=counts, suspect=sized))  # type: ignore[operator]
    text = re.sub(r"(\s|│|<dd>)+", " ", page)
    for said in (
        " 0.png: truncated",
        "8 inputs could not be read",
        "7 of another size brought to 28x30",
        "2 files left out",
        "3 flagged pictures copied",
    ):
        assert said in text
    assert ("and 3 more" in text) == (render is terminal.render)


def test_the_terminal_page_holds_nothing_that_steers_a_terminal() -> None:
    text = terminal.render(screening([Image(NASTY, 0.99, True)], source=NASTY))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]" in text
    text.encode("utf-8")


def test_inputs_that_could_not_be_read_are_no_pass() -> None:
    none = Test(images=0, flagged=0, p_value=1.0)
    text = terminal.render(screening((), test=none, counts=Counts(unreadable=2), per_class=()))
    assert "NOTHING SCREENED" in text.splitlines()[0]
    assert "2 inputs could not be read; nothing is known of what they hold." in text
    assert "None of 0" not in text


def test_an_image_of_an_archive_is_named_without_its_folder() -> None:
    shown = screening([Image("data/in.npz[7]")], source="data/in.npz", kind="npz")
    assert " in.npz[7]" in terminal.render(shown)


def test_grey_pixels_become_a_grey_picture() -> None:
    shown = Pillow.open(io.BytesIO(png(torch.tensor([[[0, 9], [7, 255]]], dtype=torch.uint8))))
    assert (shown.mode, shown.getpixel((1, 0))) == ("L", 9)


def test_a_picture_that_is_too_large_is_shrunk_by_means() -> None:
    pixels = torch.full((3, 4 * LARGEST, 2 * LARGEST), 255, dtype=torch.uint8)
    pixels[:, -4:, -2] = 0
    shown = Pillow.open(io.BytesIO(png(pixels)))
    assert shown.size == (LARGEST // 2, LARGEST)
    # One column of the last four by four pixels is black.
    assert shown.getpixel((LARGEST // 2 - 1, LARGEST - 1)) == (191, 191, 191)
    assert shown.getpixel((0, 0)) == (255, 255, 255)

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image as Pillow

from backaudit.reports.screening import html, terminal
from backaudit.reports.screening.pictures import png
from backaudit.reports.screening.report import Counts
from tests.audits import suspect
from tests.screenings import CALIBRATION, FLAGGED, PLAIN, Flags, Image, Test, screening

NASTY = "</td><script>alert(1)</script>\"' onerror=x [red]\x1b[31m\u202e\udcff"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(text)
    return parser.seen


def test_the_page_says_the_result_first() -> None:
    text = terminal.render(screening())
    assert "12 OF 300 FLAGGED" in text.splitlines()[0]
    flat = re.sub(r"[\s│]+", " ", text)
    assert "12 of 300 images flagged; 3.0 expected if all were clean (p < 0.0001)." in flat
    assert "Clean images alone do not explain that many." in flat
    assert "10 of them are predicted as 'dog' (class 5)." in flat


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
    few = screening(test=Test(flagged=2, p_value=0.8), per_class=(Flags(3, 9, 1), Flags(4, 9, 1)))
    text = re.sub(r"[\s│]+", " ", terminal.render(few))
    assert "(p = 0.8). Clean images could explain that many. " in text


def test_a_threshold_for_a_rate_says_which() -> None:
    rated = replace(CALIBRATION, threshold_source="false-flag-rate", false_flag_rate=0.01)
    text = re.sub(r"\s+", " ", terminal.render(screening(calibrations=(rated,))))
    assert "set for at most 1.0% of clean images" in text


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
    text = re.sub(r"\s+", " ", render(screening(counts=counts, suspect=sized)))  # type: ignore[operator]
    for said in (
        "in/0.png: truncated",
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


def test_the_html_page_holds_no_tag_of_a_name_and_loads_nothing() -> None:
    text = html.render(screening([Image(NASTY, 0.99, True)], source=NASTY, calibrated_by=NASTY))
    text.encode("utf-8")
    found = tags(text)
    assert {"script", "link", "iframe", "object"} & {tag for tag, _ in found} == set()
    assert [key for _, held in found for key in held if key.startswith("on")] == []
    sources = [value or "" for _, held in found for key, value in held.items() if key == "src"]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http:" not in text and "https:" not in text
    policy = next(held for tag, held in found if tag == "meta" and "http-equiv" in held)
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_flagged_pictures_are_in_the_html_page_pixel_for_pixel() -> None:
    pixels = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4)
    text = html.render(screening(pictures=((FLAGGED, pixels),)))
    (encoded,) = re.findall(r"base64,([^\"]+)", text)
    shown = Pillow.open(io.BytesIO(base64.b64decode(encoded)))
    assert shown.getpixel((1, 2)) == tuple(pixels[:, 2, 1].tolist())
    assert "the 1 that score highest" in text


def test_no_picture_is_said_to_be_left_out_when_all_are_shown() -> None:
    text = html.render(screening([FLAGGED, PLAIN], test=Test(images=2, flagged=1)))
    assert "that score highest" not in text
    assert "<h2>Scores</h2>" in text


def test_grey_pixels_become_a_grey_picture() -> None:
    shown = Pillow.open(io.BytesIO(png(torch.tensor([[[0, 9], [7, 255]]], dtype=torch.uint8))))
    assert (shown.mode, shown.getpixel((1, 0))) == ("L", 9)

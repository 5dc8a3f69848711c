import base64
import io
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
import torch
from PIL import Image as Pillow

from backaudit.reports.screening import html
from backaudit.reports.screening.style import STYLE
from tests.audits import suspect
from tests.screenings import CALIBRATION, FLAGGED, OTHER, PLAIN, Flags, Image, Test, screening

NASTY = "</td><script>alert(1)</script>\"' onerror=x [red]\x1b[31m\u202e\udcff"
STACKED = "Z" + "\u0301" * 3


class Page(HTMLParser):
    """Start tags with their attributes, and texts with the tag that they are directly in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = [("", {})]
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.tags[-1][0], data))

    def cells(self) -> list[str]:
        return [text for _, text in self.texts]


def test_a_page_holds_no_tag_of_a_name_and_loads_nothing() -> None:
    images = [Image(NASTY, 0.99, True), Image(NASTY)]
    hostile = {"source": NASTY, "calibrated_by": NASTY, "suspect": suspect((NASTY,) * 10)}
    text = html.render(screening(images, **hostile))
    text.encode("utf-8")
    assert "\u202e" not in text and "\x1b" not in text
    found = Page(text).tags
    assert {"script", "link", "iframe", "object"} & {tag for tag, _ in found} == set()
    assert [key for _, held in found for key in held if key.startswith("on")] == []
    sources = [value or "" for _, held in found for key, value in held.items() if key == "src"]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http:" not in text and "https:" not in text
    policy = next(held for tag, held in found if tag == "meta" and "http-equiv" in held)
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_accents_stacked_upon_a_name_stay_inside_its_line() -> None:
    (clipped,) = re.findall(r"^(.*) \{ overflow: clip;", STYLE, re.MULTILINE)
    assert clipped == "h1, p, dd, td div, figcaption div"
    names = suspect((STACKED,) * 10)
    page = Page(html.render(screening([Image(STACKED, 0.9, True), Image(STACKED)], suspect=names)))
    assert {tag for tag, text in page.texts if STACKED in text} == {"p", "dd", "div"}


def test_the_verdict_comes_first_then_classes_then_pictures() -> None:
    text = html.render(screening())
    order = (
        "<h1>12 of 300 flagged</h1>",
        "<strong>3.0 expected if all were clean (p &lt; 0.0001).</strong>",
        "10 flagged images are predicted as &#x27;dog&#x27; (class 5)",
        "threshold 0.90",
        "Flagged by predicted class",
        "Flagged pictures",
        "Not flagged",
        "How it was done",
    )
    places = [text.index(said) for said in order]
    assert all(one < other for one, other in pairwise(places))
    assert "<title>12 of 300 flagged: candidate.pth.tar</title>" in text
    assert text.count("12 of 300") == 2


@pytest.mark.parametrize(
    ("test", "looks"),
    [
        (Test(), "alarm"),
        (Test(p_value=0.4), "doubt"),
        (Test(p_value=0.4, mix_p_value=0.4), "doubt"),
        (Test(flagged=0, p_value=1.0), "calm"),
    ],
)
def test_only_what_clean_images_do_not_explain_looks_like_an_alarm(test: Test, looks: str) -> None:
    assert f'<body class="{looks}">' in html.render(screening(test=test))


def test_the_colours_of_the_verdict_can_be_read_by_day_by_night_and_on_paper() -> None:
    shades = re.findall(r"--(alarm|doubt|calm): #(\w{6});", STYLE)
    assert len(shades) == 9
    for index, (_, shade) in enumerate(shades):
        page = _luminance("121212" if 3 <= index < 6 else "ffffff")
        dark, light = sorted((_luminance(shade), page))
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def _luminance(shade: str) -> float:
    """Relative luminance of a colour (WCAG 2.2)."""
    parts = [int(shade[index : index + 2], 16) / 255 for index in (0, 2, 4)]
    red, green, blue = (
        (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4) for p in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_flagged_image_has_its_picture_and_is_not_repeated_below() -> None:
    page = Page(html.render(screening([FLAGGED, PLAIN], test=Test(images=2, flagged=1))))
    assert page.cells().count("evil.png") == page.cells().count("fine.png") == 1
    assert "score 0.99, p = 0.01" in page.cells()
    assert "Not flagged: all scores" in page.cells()
    assert not any("score highest" in cell for cell in page.cells())


def test_the_highest_of_many_scores_are_called_so() -> None:
    assert "Not flagged: the highest scores of 288 images" in html.render(screening())


def test_of_several_screeners_it_is_told_which_flags_a_picture() -> None:
    scores = {"ibd-psc": 0.4, "scale-up": 0.95}
    image = Image("in/a.png", 0.4, True, 5, 0.3, scores, ("scale-up",))
    tests = {"ibd-psc": Test(), "scale-up": Test()}
    shown = screening([image], calibrations=(CALIBRATION, OTHER), tests=tests)
    cells = Page(html.render(shown)).cells()
    place = cells.index("ibd-psc 0.40")
    assert cells[place : place + 3] == ["ibd-psc 0.40", "scale-up 0.95 flags", "p = 0.30"]


def test_only_classes_of_flagged_images_are_listed_the_most_frequent_first() -> None:
    flags = [Flags(label, 50, 0 if label == 3 else 1 + label % 2, 4, 1) for label in range(10)]
    text = html.render(screening(per_class=flags * 2))
    labels = re.findall(r'<tr><td class="class"><div>.*?class (\d)\)</div>', text)
    assert labels == ["1", "1", "5", "5", "7", "7", "9", "9", "0", "0"]
    assert "and 8 more classes" in text


def test_no_paragraph_is_empty() -> None:
    none = html.render(screening((), test=Test(flagged=0), per_class=(), pictures=()))
    assert "None of 300 images was flagged." in none
    assert re.search(r"<(p|dl|dd|h2)>\s*</", none) is None


def test_flagged_pictures_are_in_the_page_pixel_for_pixel() -> None:
    pixels = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4)
    text = html.render(screening(pictures=((FLAGGED, pixels),)))
    (encoded,) = re.findall(r"base64,([^\"]+)", text)
    shown = Pillow.open(io.BytesIO(base64.b64decode(encoded)))
    assert shown.getpixel((1, 2)) == tuple(pixels[:, 2, 1].tolist())
    assert "the 1 that score highest" in text
    assert '<div class="pictures">' in text
    assert "shrunk" not in text


def test_large_pictures_are_smooth_and_do_not_swell_the_page() -> None:
    pixels = torch.randint(0, 256, (3, 600, 500), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )
    text = html.render(screening(pictures=((FLAGGED, pixels),)))
    assert '<div class="pictures large">' in text
    assert "shrunk to 256 pixels" in text
    assert len(text) < 300_000

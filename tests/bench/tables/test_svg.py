from xml.etree import ElementTree

from backaudit.bench.tables.svg import document, text


def test_names_from_files_stay_names() -> None:
    root = ElementTree.fromstring(document(30, 20, [text(1, 2, "<b>&\x1b[2J")]))  # noqa: S314
    (line,) = root.findall("{http://www.w3.org/2000/svg}text")
    assert (line.text or "").startswith("<b>&")
    assert "\x1b" not in (line.text or "")
    assert (root.get("width"), root.get("height")) == ("30", "20")

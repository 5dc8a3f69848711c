import pytest

from backaudit.core.printable import counted, paragraph, printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("dog", "dog"),
        ("Zürich 犬", "Zürich 犬"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),
        ("a\u200bb", "a\\u200bb"),
        ("two\nlines\ttab", "two lines tab"),
        ("return\rover", "return\\rover"),
        ("\x9b31m", "\\x9b31m"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("lone\udc80", "lone\\udc80"),
        ("line\u2028end", "line\\u2028end"),
    ],
)
def test_nothing_that_could_steer_a_terminal_is_left(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_long_text_loses_its_middle() -> None:
    shown = printable("a" * 50 + "b" * 50, limit=21)
    assert len(shown) == 21
    assert shown == "a" * 10 + "..." + "b" * 8


def test_later_lines_are_indented() -> None:
    assert paragraph("keys differ:\nbackaudit: no evidence\n") == (
        "keys differ:\n  backaudit: no evidence"
    )


def test_numbers_of_things() -> None:
    assert [counted(count, "image") for count in (0, 1, 2500)] == [
        "0 images",
        "1 image",
        "2,500 images",
    ]

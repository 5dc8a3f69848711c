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


@pytest.mark.parametrize(
    "name",
    [
        "vie\u0323\u0302t",
        "\u0e17\u0e35\u0e48",
        "\u0915\u093f\u0902\u0930\u094d",
        "\u05e9\u05bc\u05c1\u05b8",
        "1\ufe0f\u20e3",
    ],
)
def test_marks_that_scripts_need_stay(name: str) -> None:
    assert printable(name) == name


@pytest.mark.parametrize("mark", ["\u0301", "\u0488", "\u0610", "\ufe0f"])
def test_marks_stacked_upon_one_letter_do_not_leave_their_line(mark: str) -> None:
    escaped = mark.encode("unicode_escape").decode("ascii")
    assert printable(f"Z{mark * 5}a{mark * 4}") == f"Z{mark * 3}{escaped * 2}a{mark * 3}{escaped}"


def test_marks_between_which_another_is_hidden_are_counted_apart_but_stay_visible() -> None:
    assert printable("Z" + "\u0301\u200b" * 2) == "Z\u0301\\u200b\u0301\\u200b"


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

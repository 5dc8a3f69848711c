from backaudit.cli.docstrings import arguments, sections, unwrapped
from tests.audits import Reads


def test_a_docstring_is_split_at_its_headings() -> None:
    found = sections(Reads)
    assert list(found) == ["", "Score", "Blind to", "Args"]
    assert found[""] == "Reads a score.\n\nTwo sentences about what it does."
    assert unwrapped(found["Score"]) == "a share, upwards."
    assert unwrapped(found["Blind to"]) == "whatever it does not see."


def test_arguments_are_split_by_name() -> None:
    found = arguments(sections(Reads)["Args"])
    assert found == {"score": "what it reads, in [0, 1].", "restarts": "how often."}


def test_paragraphs_stay_apart() -> None:
    assert unwrapped("a\nb\n\nc\n  d") == "a b\n\nc d"


def test_a_class_without_sections_has_none() -> None:
    class Plain:
        """Only this."""

    assert sections(Plain) == {"": "Only this."}
    assert arguments("") == {}

import pytest

from backaudit.files.plain_json import parsed_json


def parsed(text: bytes) -> object:
    return parsed_json(memoryview(text))


def test_plain_values() -> None:
    assert parsed(b'{"a": [1, null, {"b": "c"}]}') == {"a": [1, None, {"b": "c"}]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "it is no JSON text"),
        (b"", "it is no JSON text"),
        (b'"\xff"', "it is no UTF-8 text"),
        (b"[" * 10**5, "it is nested too deeply"),
        (b'{"a": {"b\\u202e": 1, "b\\u202e": 1}}', r"it has the name 'b\\\\u202e' twice"),
        (b"1" * 5000, "Exceeds the limit"),
    ],
)
def test_refusals(text: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parsed(text)

from dataclasses import fields, is_dataclass
from inspect import getdoc

import pytest

from backaudit.screeners import SCREENERS


def test_screeners_are_registered_under_the_names_of_their_rules() -> None:
    assert [kind.rule.name for kind in SCREENERS.values()] == list(SCREENERS)
    assert len({kind.rule.id for kind in SCREENERS.values()}) == len(SCREENERS)
    assert all(is_dataclass(kind) for kind in SCREENERS.values())


@pytest.mark.parametrize("name", SCREENERS)
def test_a_screener_explains_itself(name: str) -> None:
    text = getdoc(SCREENERS[name]) or ""
    for heading in ("Score:", "Needs:", "Blind to:", "Differs from the official code:", "Paper:"):
        assert f"\n{heading}" in text, heading
    described = text.split("\nArgs:\n")[1]
    written = [line.split(":")[0].strip() for line in described.splitlines() if line[4:5] != " "]
    assert written == [field.name for field in fields(SCREENERS[name])]  # type: ignore[arg-type]

from dataclasses import is_dataclass

from backaudit.screeners import SCREENERS


def test_screeners_are_registered_under_the_names_of_their_rules() -> None:
    assert [kind.rule.name for kind in SCREENERS.values()] == list(SCREENERS)
    assert len({kind.rule.id for kind in SCREENERS.values()}) == len(SCREENERS)
    assert all(is_dataclass(kind) for kind in SCREENERS.values())

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

import pytest

from backaudit.core.restoring import restored


class Kind(StrEnum):
    SOFT = "soft"


@dataclass(frozen=True)
class Inner:
    size: tuple[int, int]
    name: str = "n"


@dataclass(frozen=True)
class Outer:
    number: float
    count: int
    on: bool
    kind: Kind
    word: Literal["a", "b"]
    maybe: float | None
    rows: tuple[tuple[float, ...], ...]
    inner: Inner
    rest: Mapping[str, Any] = field(default_factory=dict)


WHOLE = Outer(1.5, 2, True, Kind.SOFT, "a", None, ((1.0,), ()), Inner((3, 4)), {"x": [1, {"y": 2}]})


def written(**changes: object) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(json.dumps(asdict(WHOLE)))
    return record | changes


def test_what_was_written_comes_back_with_its_types() -> None:
    found = restored(Outer, written(), "it")
    assert found == WHOLE
    assert isinstance(found.kind, Kind)
    assert type(restored(Outer, written(number=1), "it").number) is float


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"number": "1.5"}, "it.number is '1.5'"),
        ({"number": True}, "it.number"),
        ({"number": math.nan}, "it.number"),
        ({"maybe": math.inf}, "it.maybe"),
        ({"maybe": "1"}, "it.maybe"),
        ({"count": 2.0}, "it.count"),
        ({"count": True}, "it.count"),
        ({"on": 1}, "it.on"),
        ({"kind": "hard"}, "it.kind"),
        ({"word": "c"}, "it.word"),
        ({"rows": [[1.0, "x"]]}, r"it\.rows\[0\]\[1\]"),
        ({"rows": 3}, "it.rows is no list"),
        ({"inner": {"size": [3]}}, "it.inner.size has 1 entries instead of 2"),
        ({"inner": {}}, "it.inner lacks size"),
        ({"inner": None}, "it.inner is no table"),
        ({"rest": {"x": [1, {"y": math.nan}]}}, "it.rest holds a number that is not finite"),
        ({"rest": []}, "it.rest is no table"),
        ({"more": 1}, "it has an unknown entry 'more'"),
    ],
)
def test_what_could_not_have_been_written_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        restored(Outer, written(**changes), "it")

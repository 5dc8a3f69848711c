"""One process's part of what several share."""

from collections.abc import Sequence
from typing import TypeVar

from backaudit.core.errors import SettingError

Item = TypeVar("Item")


def shard(items: Sequence[Item], text: str | None) -> Sequence[Item]:
    """Every N-th item, beginning with the I-th, for the text ``I/N``; all without a text.

    Raises:
        SettingError: if the text has another form, or I is not from 1 to N.
    """
    if text is None:
        return items
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise SettingError(f"--shard {text}: give I/N with I from 1 to N, as 1/4")
    return items[int(index) - 1 :: int(count)]

"""Opcodes that make and fill tuples, lists, dicts and sets."""

from typing import Any

from backaudit.files.pickles.state import State
from backaudit.files.pickles.values import Inert, Malformed

# An empty set takes four times the room of an empty list.
SET_COST = 50


def empty_tuple(state: State) -> None:
    """EMPTY_TUPLE."""
    state.stack.append(())


def empty_list(state: State) -> None:
    """EMPTY_LIST."""
    state.stack.append([])


def empty_dict(state: State) -> None:
    """EMPTY_DICT."""
    state.stack.append({})


def empty_set(state: State) -> None:
    """EMPTY_SET."""
    state.spend(SET_COST)
    state.stack.append(set())


def tuple1(state: State) -> None:
    """TUPLE1."""
    state.stack[-1] = (state.stack[-1],)


def tuple2(state: State) -> None:
    """TUPLE2."""
    second = state.stack.pop()
    state.stack[-1] = (state.stack[-1], second)


def tuple3(state: State) -> None:
    """TUPLE3."""
    third = state.stack.pop()
    second = state.stack.pop()
    state.stack[-1] = (state.stack[-1], second, third)


def marked_tuple(state: State) -> None:
    """TUPLE."""
    items = state.pop_mark()
    state.stack.append(tuple(items))


def marked_list(state: State) -> None:
    """LIST."""
    items = state.pop_mark()
    state.stack.append(items)


def marked_dict(state: State) -> None:
    """DICT."""
    items = state.pop_mark()
    state.stack.append({})
    _set_items(state, items)


def frozen_set(state: State) -> None:
    """FROZENSET."""
    items = state.pop_mark()
    state.spend(SET_COST)
    state.check_keys(items)
    state.stack.append(frozenset(items))


def append(state: State) -> None:
    """APPEND."""
    item = state.stack.pop()
    _extend(state, [item])


def appends(state: State) -> None:
    """APPENDS."""
    _extend(state, state.pop_mark())


def _extend(state: State, items: list[Any]) -> None:
    target = state.stack[-1]
    if type(target) is list:
        target.extend(items)
    elif type(target) is Inert:
        target.elements.extend(items)
    else:
        state.misused(target, "APPENDS")


def setitem(state: State) -> None:
    """SETITEM."""
    value = state.stack.pop()
    key = state.stack.pop()
    _set_items(state, [key, value])


def setitems(state: State) -> None:
    """SETITEMS."""
    _set_items(state, state.pop_mark())


def _set_items(state: State, items: list[Any]) -> None:
    target = state.stack[-1]
    keys, values = items[::2], items[1::2]
    state.check_keys(keys)
    if type(target) is dict:
        _update(target, keys, values)
    elif type(target) is Inert:
        _update(target.items, keys, values)
    else:
        state.misused(target, "SETITEMS")


def _update(table: dict[Any, Any], keys: list[Any], values: list[Any]) -> None:
    """Fill a dict; keys that differ for other programs may be one text here."""
    before = len(table)
    table.update(zip(keys, values, strict=True))
    if len(table) < before + len(keys):
        raise Malformed("gives a dict the same key twice, as no honest program does")


def additems(state: State) -> None:
    """ADDITEMS."""
    items = state.pop_mark()
    target = state.stack[-1]
    if type(target) is set:
        state.check_keys(items)
        target.update(items)
    elif type(target) is Inert:
        target.elements.extend(items)
    else:
        state.misused(target, "ADDITEMS")

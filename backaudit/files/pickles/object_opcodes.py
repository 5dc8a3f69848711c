"""Opcodes that name what would be imported, call it, or set the state of what it made."""

from collections import OrderedDict

from backaudit.files.pickles.state import LONGEST_NAME, State
from backaudit.files.pickles.values import Inert, Malformed, Reference

METHODS = frozenset(dir(OrderedDict))


def imported(state: State) -> None:
    """GLOBAL."""
    state.stack.append(_named(state, "GLOBAL"))


def _named(state: State, opcode: str) -> Reference:
    offset = state.at - 1
    module, name = state.line(LONGEST_NAME), state.line(LONGEST_NAME)
    reference = Reference(module.decode("utf-8"), name.decode("utf-8"))
    state.uses.add(reference, opcode, offset)
    return reference


def stack_imported(state: State) -> None:
    """STACK_GLOBAL: text that the pickle holds as it is, or it cannot be told."""
    name = state.stack.pop()
    module = state.stack.pop()
    if type(name) is not str or type(module) is not str:
        known = next((text for text in (name, module) if type(text) is str), "name")
        reference = state.computed(
            known[:LONGEST_NAME], "STACK_GLOBAL", "imports a name that it computes"
        )
    elif len(name) > LONGEST_NAME or len(module) > LONGEST_NAME:
        raise Malformed
    else:
        reference = Reference(module, name)
        state.uses.add(reference, "STACK_GLOBAL", state.at - 1)
    state.stack.append(reference)


def extension1(state: State) -> None:
    """EXT1."""
    _extension(state, 1)


def extension2(state: State) -> None:
    """EXT2."""
    _extension(state, 2)


def extension4(state: State) -> None:
    """EXT4."""
    _extension(state, 4)


def _extension(state: State, width: int) -> None:
    offset = state.at - 1
    code = int.from_bytes(state.take(width), "little", signed=width == 4)
    reference = Reference("<extension registry>", str(code))
    state.uses.add(reference, f"EXT{width}", offset).misused("a number for a name kept elsewhere")
    state.stack.append(reference)


def persistent_text(state: State) -> None:
    """PERSID."""
    _persistent(state, state.line(LONGEST_NAME).decode("ascii"))


def persistent(state: State) -> None:
    """BINPERSID."""
    _persistent(state, state.stack.pop())


def _persistent(state: State, name: object) -> None:
    if state.persistent is None:
        raise Malformed("refers to data outside it, as no pickle of this kind does")
    state.stack.append(state.persistent(name))


def reduce(state: State) -> None:
    """REDUCE: a call."""
    args = state.stack.pop()
    state.call("REDUCE", state.stack.pop(), args)


def newobj(state: State) -> None:
    """NEWOBJ: a class makes an object."""
    args = state.stack.pop()
    state.call("NEWOBJ", state.stack.pop(), args)


def newobj_ex(state: State) -> None:
    """NEWOBJ_EX: a class makes an object, with keywords too."""
    keywords = state.stack.pop()
    args = state.stack.pop()
    if type(keywords) is not dict:
        raise Malformed
    state.call("NEWOBJ_EX", state.stack.pop(), args)
    if keywords:
        # What a value would be with keywords is not known here.
        maker = state.stack[-1]
        if type(maker) is not Inert:
            raise Malformed("makes an object in a way that is not known")
        state.called(maker.of, "NEWOBJ_EX", given_arguments=True)
        maker.keywords = keywords


def inst(state: State) -> None:
    """INST: a call of what it names."""
    offset = state.at - 1
    reference = _named(state, "INST")
    args = tuple(state.pop_mark())
    # Its own offset, as the names lie between it and the next opcode.
    state.call("INST", reference, args, offset)


def obj(state: State) -> None:
    """OBJ: a call of the first value after the mark."""
    maker, *args = state.pop_mark()
    state.call("OBJ", maker, tuple(args))


def build(state: State) -> None:
    """BUILD: the state of an object."""
    given = state.stack.pop()
    target = state.stack[-1]
    if type(target) is Inert:
        _build(state, target, given)
    elif type(target) is dict:
        # Attributes of an ordered dict: versions of a network's layers.
        state.set_state(target)
        if type(given) is not dict or not METHODS.isdisjoint(given):
            raise Malformed("replaces the methods of a dict, as no honest program does")
    else:
        state.misused(target, "BUILD")


def _build(state: State, made: Inert, given: object) -> None:
    state.set_state(made)
    state.charge((given,))
    made.state = _taken(given)
    state.called(made.of, "BUILD", given_arguments=False)
    value = made if state.finish is None else state.finish(made)
    if value is not made:
        state.replace(made, value)


def _taken(given: object) -> object:
    """A state as objects take it: what is put into its dict later does not reach them."""
    if type(given) is tuple:
        return tuple(dict(part) if type(part) is dict else part for part in given)
    return dict(given) if type(given) is dict else given

"""What the pickle machine has in hand while it runs: stack, memo, position and what was used."""

from collections.abc import Callable
from typing import Any

from backaudit.files.pickles.keys import is_cheap, is_small
from backaudit.files.pickles.uses import Use, Uses
from backaudit.files.pickles.values import Computed, Inert, Malformed, Misused, Reference

Persistent = Callable[[object], object]
Rebuild = Callable[[Reference, tuple[object, ...]], object]
Finish = Callable[[Inert], object]

LONGEST_NAME = 4096
MOST_DIGITS = 4300
COSTLY_KEYS = 4096
STRADDLING = (
    "has an opcode that reaches over the end of its frame, which programs read differently: no "
    "honest program writes such pickles"
)
BOOKKEEPING = 300_000
COMPUTED = "<computed>"
CHANGED = "is changed by the file for the whole program"
# Harmless calls that keep a class or function they are given, and do not call it with anything.
KEEPERS = frozenset(
    {
        Reference("functools", "partial"),
        Reference("collections", "defaultdict"),
        Reference("copyreg", "_reconstructor"),
        Reference("copy_reg", "_reconstructor"),
    }
)


class State:
    """A machine at work.

    Args:
        data: bytes that hold the pickle.
        at: offset of the next byte.
        persistent: as for ``run``.
        rebuild: as for ``run``.
        finish: as for ``run``.
    """

    __slots__ = (
        "at",
        "built",
        "costly_keys",
        "data",
        "finish",
        "frame_end",
        "marked",
        "memo",
        "memo_keys",
        "persistent",
        "rebuild",
        "size",
        "stack",
        "uses",
        "work",
    )

    def __init__(
        self,
        data: memoryview,
        at: int,
        persistent: Persistent | None,
        rebuild: Rebuild | None,
        finish: Finish | None,
    ) -> None:
        self.data = data
        self.at = at
        self.size = len(data)
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.memo_keys: dict[int, int] = {}
        self.uses = Uses()
        self.built: dict[int, object] = {}
        self.costly_keys = 0
        self.frame_end = 0
        self.work = BOOKKEEPING + 4 * (self.size - at)
        self.persistent, self.rebuild, self.finish = persistent, rebuild, finish

    def take(self, count: int) -> memoryview:
        """The next bytes."""
        start, end = self.at, self.at + count
        if count < 0 or end > self.size:
            raise Malformed
        self.at = end
        return self.data[start:end]

    def line(self, longest: int) -> bytes:
        """The bytes up to the next line feed, without it."""
        window = 256
        while True:
            seen = bytes(self.data[self.at : self.at + window])
            found = seen.find(b"\n")
            if found >= 0:
                self.at += found + 1
                return seen[:found]
            if window > longest or len(seen) < window:
                raise Malformed
            window *= 4

    def pop_mark(self) -> list[Any]:
        """What was pushed since the last MARK."""
        items = self.stack
        self.stack = self.marked.pop()
        return items

    def remember(self, key: int) -> None:
        """Put the top of the stack into the memo."""
        value = self.stack[-1]
        self.memo[key] = value
        if type(value) is Inert:
            self.memo_keys[id(value)] = key

    def check_keys(self, keys: list[Any]) -> None:
        """Refuse keys of a dict or set that are made to collide or to recurse when hashed."""
        for key in keys:
            if is_cheap(key):
                continue
            self.costly_keys += 1
            if self.costly_keys > COSTLY_KEYS or not is_small(key):
                raise Malformed("has keys that only a file made to hurt has: do not use it")

    def charge(self, args: tuple[object, ...]) -> None:
        """Count what a call may have to copy, so that many calls cannot share one large value."""
        for arg in args:
            if isinstance(arg, str | bytes | bytearray | list | tuple | dict | set | frozenset):
                self.spend(len(arg))

    def spend(self, steps: int) -> None:
        """Count steps that one byte of a pickle may cost."""
        self.work -= steps
        if self.work < 0:
            raise Malformed("repeats its values too often: do not use it")

    def computed(self, what: str, opcode: str, why: str) -> Reference:
        """Record a name that cannot be told without running the pickle."""
        reference = Reference(COMPUTED, what)
        self.uses.add(reference, opcode, self.at - 1).misused(why)
        return reference

    def called(self, reference: Reference, opcode: str, given_arguments: bool) -> Use:
        """Record that what a name stands for would be called, or its object changed."""
        return self.uses.called(reference, opcode, self.at - 1, given_arguments)

    def misused(self, target: object, opcode: str) -> None:
        """Record that a pickle fills or changes what it imports."""
        if type(target) is not Reference:
            raise Malformed
        self.called(target, opcode, given_arguments=True).misused(CHANGED)

    def call(self, opcode: str, maker: object, args: object, offset: int | None = None) -> None:
        """Push what a call would return: a value if it has a plain one, else a stand-in."""
        if _is_member(maker, args):
            args = (args,)
        if type(args) is not tuple:
            raise Malformed
        self.charge(args)
        if type(maker) is not Reference:
            maker = self.computed(_described(maker), opcode, "calls something that it computes")
        offset = self.at - 1 if offset is None else offset
        use = self.uses.called(maker, opcode, offset, bool(args))
        if maker not in KEEPERS:
            # What is given to a call may be called by it.
            for given in self._references(args):
                self.uses.called(given, opcode, offset, given_arguments=True)
        self.stack.append(self._value(use, args))

    def _references(self, args: tuple[object, ...]) -> list[Reference]:
        """Names among the arguments of a call, and in tuples among them."""
        parts: list[object] = list(args)
        for part in parts:
            if type(part) is tuple:
                self.charge((part,))
                parts.extend(part)
        return [part for part in parts if type(part) is Reference]

    def _value(self, use: Use, args: tuple[object, ...]) -> object:
        try:
            value = self.rebuild(use.reference, args) if self.rebuild else NotImplemented
        except Misused as error:
            use.misused(str(error))
            value = NotImplemented
        if value is NotImplemented:
            return Inert(use.reference, args)
        # Text that a call returns must not become a name to import.
        return Computed(value) if type(value) is str else value

    def set_state(self, target: object) -> None:
        """Note that an object's state was set; a second time is not for honest programs."""
        if id(target) in self.built:
            raise Malformed("sets the state of an object twice, as no honest program does")
        # Kept, so that nothing else can have its identity.
        self.built[id(target)] = target

    def replace(self, made: Inert, value: object) -> None:
        """Let a value take the place of the stand-in that is the top of the stack."""
        self.stack[-1] = Computed(value) if type(value) is str else value
        self.built[id(value)] = value
        key = self.memo_keys.get(id(made))
        if key is not None and self.memo.get(key) is made:
            self.memo[key] = self.stack[-1]


def _described(maker: object) -> str:
    return f"<result of {maker.of}>" if isinstance(maker, Inert) else f"<{type(maker).__name__}>"


def _is_member(maker: object, value: object) -> bool:
    """Whether this makes a member of a TorchScript enumeration, given its bare value."""
    scripted = type(maker) is Reference and maker.module.split(".")[0] == "__torch__"
    return scripted and type(value) in (str, int, float)

"""What the pickle machine makes of everything that is not a plain value."""

from dataclasses import dataclass, field

from backaudit.files.records import Storage


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that a pickle would import; a string here, nothing is imported.

    Args:
        module: dotted.
        name: within the module, dotted for what is nested.
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Inert:
    """A stand-in for an object of any class: keeps what it was given and does nothing with it.

    Args:
        of: the class or function that would have made the object.
        args: positional arguments it would have been given.
        state: what BUILD would have set; None without one.
        items: what SETITEM(S) would have set.
        elements: what APPEND(S) and ADDITEMS would have added.
        keywords: keyword arguments it would have been given.
    """

    of: Reference
    args: tuple[object, ...] = ()
    state: object = None
    items: dict[object, object] = field(default_factory=dict)
    elements: list[object] = field(default_factory=list)
    keywords: dict[object, object] = field(default_factory=dict)


class Computed(str):
    """Text that a call would have returned: a value like any other, but no name to import."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class StoredNumbers:
    """A storage as a pickle names it: bytes and the type that they are read as.

    Args:
        dtype: torch's name without ``torch.``; "" for an untyped storage.
        storage: where the bytes are.
        start: of a view, in elements from the start of the storage.
    """

    dtype: str
    storage: Storage
    start: int = 0


class Misused(Exception):  # noqa: N818 - says what happened
    """A harmless name, used as no honest program uses it; its text says how."""


class Malformed(Exception):  # noqa: N818 - says what happened
    """Bytes that no pickle has; its text follows a path."""

    def __init__(self, text: str = "is damaged or truncated: copy or download it again") -> None:
        super().__init__(text)

"""Files of ``torch.save`` before version 1.6: five pickles, then every storage's numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.archives.zip_headers import DAMAGED
from backaudit.files.contents import Contents, GlobalUse
from backaudit.files.formats import LEGACY_MAGIC
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.pickles.machine import Pickled, run
from backaudit.files.pickles.torch_types import finish, rebuild, stored
from backaudit.files.readers.pickled import walk_rest
from backaudit.files.readers.torch_zip import BIG_ENDIAN
from backaudit.files.records import Storage, stored_bytes

MAGIC = int.from_bytes(LEGACY_MAGIC, "little")
PROTOCOL = 1001
COUNT = 8


@dataclass
class Announced:
    """What the pickle says of the storages that follow it.

    Args:
        numbers: key -> type and count.
    """

    numbers: dict[str, tuple[str, int]] = field(default_factory=dict)

    def __call__(self, key: str, dtype: str, numel: int) -> Storage:
        """Remember a storage; its bytes are not known yet.

        Raises:
            CheckpointError: if it was announced as something else before.
        """
        if self.numbers.setdefault(key, (dtype, numel)) != (dtype, numel):
            raise CheckpointError(f"describes its stored numbers {printable(key)!r} in two ways")
        return Storage(None, 0, stored_bytes(dtype, numel))


def read_torch_legacy(opened: OpenedFile, _limits: Limits) -> Contents:
    """Read stacked pickles and the places of the numbers behind them; nothing is copied."""
    data = opened.data
    uses: list[GlobalUse] = []
    at = 0
    try:
        for check in (_is_magic, _is_protocol, _is_little_endian):
            pickled = _next(run(data, start=at, persistent=_none), uses)
            check(pickled.value)
            at = pickled.end
        announced = Announced()
        first = _next(
            run(data, start=at, persistent=_named(stored(announced)), rebuild=rebuild), uses
        )
        keys = _next(run(data, start=first.end, persistent=_none), uses)
        storages, end = _places(opened, keys, announced)
        found = run(
            data,
            start=at,
            persistent=_named(stored(lambda key, _dtype, _numel: storages[key])),
            rebuild=rebuild,
            finish=finish,
        )
    except CheckpointError as error:
        return Contents(uses=tuple(uses), problem=str(error))
    further, findings = walk_rest(data, end)
    return Contents(
        saved=found.value,
        uses=(*uses, *further),
        findings=findings,
        problem=found.problem,
    )


def _named(persistent: Callable[[object], object]) -> Callable[[object], object]:
    """Also give the classes of whole networks, which are named together with their source text."""

    def named(name: object) -> object:
        if isinstance(name, tuple) and len(name) == 4 and name[0] == "module":
            return name[1]
        return persistent(name)

    return named


def _next(pickled: Pickled, uses: list[GlobalUse]) -> Pickled:
    uses.extend(pickled.uses)
    if pickled.problem:
        raise CheckpointError(pickled.problem)
    return pickled


def _none(_name: object) -> object:
    return None


def _is_magic(value: object) -> None:
    if value != MAGIC:
        raise CheckpointError(DAMAGED)


def _is_protocol(value: object) -> None:
    if value != PROTOCOL:
        raise CheckpointError(
            f"is of torch's old format in version {printable(value)}, not {PROTOCOL}: {DAMAGED}"
        )


def _is_little_endian(value: object) -> None:
    if isinstance(value, dict) and value.get("little_endian") is False:
        raise CheckpointError(BIG_ENDIAN)


def _places(
    opened: OpenedFile, keys: Pickled, announced: Announced
) -> tuple[dict[str, Storage], int]:
    """Where each storage's bytes lie, and where the last one ends."""
    listed = keys.value
    if not isinstance(listed, list) or set(map(str, listed)) != announced.numbers.keys():
        raise CheckpointError(
            "lists other stored numbers than its pickle uses: it is damaged, or made to deceive"
        )
    at, storages = keys.end, {}
    for key in map(str, listed):
        dtype, numel = announced.numbers[key]
        count = int.from_bytes(opened.data[at : at + COUNT], "little")
        nbytes = stored_bytes(dtype, numel)
        if key in storages or at + COUNT + nbytes > opened.size:
            raise CheckpointError(DAMAGED)
        if count != numel:
            raise CheckpointError(
                f"has {count} stored numbers {printable(key)!r} where its pickle tells of {numel}: "
                "it is damaged, or made to be read past the end"
            )
        storages[key] = Storage(opened, at + COUNT, nbytes)
        at += COUNT + nbytes
    return storages, at

"""Files of ``torch.save`` since version 1.6: a zip archive of a pickle and of numbers."""

from dataclasses import dataclass, field

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.archives.archive import Archive
from backaudit.files.archives.zip_headers import DAMAGED
from backaudit.files.contents import Contents
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.pickles.machine import run
from backaudit.files.pickles.torch_types import finish, rebuild, stored
from backaudit.files.readers.pickled import NUMBERS, walk_rest
from backaudit.files.records import Storage, stored_bytes

PICKLE = "data.pkl"
BIG_ENDIAN = (
    "was saved on a big-endian machine: load it with torch and save it again on an ordinary one"
)


@dataclass
class Storages:
    """The stored numbers of an archive, each made once.

    Args:
        archive: that holds them.
        folder: in which they lie.
        made: by key.
    """

    archive: Archive
    folder: str = "data"
    made: dict[str, Storage] = field(default_factory=dict)

    def __call__(self, key: str, dtype: str, numel: int) -> Storage:
        """Bytes of one storage.

        Raises:
            CheckpointError: if they are missing, or other than the pickle says; torch believes the
                pickle and would read past the end.
        """
        if key not in self.made:
            member = self.archive.members.get(f"{self.folder}/{key}")
            if member is None:
                raise CheckpointError(f"lacks its stored numbers {printable(key)!r}: {DAMAGED}")
            self.made[key] = member.storage()
        storage = self.made[key]
        if stored_bytes(dtype, numel) != storage.nbytes:
            raise CheckpointError(
                f"has {storage.nbytes} bytes of stored numbers {printable(key)!r}, but its pickle "
                f"tells of {numel} of type {dtype}: it is damaged, or made to be read past the end"
            )
        return storage


def read_torch_zip(opened: OpenedFile, archive: Archive, limits: Limits) -> Contents:
    """Read an archive that torch wrote: its pickle, and every other pickle in it.

    Raises:
        CheckpointError: if its pickle cannot be unpacked.
    """
    member = archive.members[PICKLE]
    data = member.read(limits.unpacked(opened.size))
    storages = Storages(archive)
    pickled = run(
        data,
        member=member.name,
        persistent=stored(storages),
        rebuild=rebuild,
        finish=finish,
    )
    uses, findings = ((), ()) if pickled.problem else walk_rest(data, pickled.end, member.name)
    return Contents(
        saved=pickled.value,
        uses=pickled.uses + uses,
        findings=findings,
        problem=_unlike_torch(archive) or pickled.problem,
        notes=_unused(archive, storages),
    )


def _unlike_torch(archive: Archive) -> str:
    """Why torch itself would not read an archive."""
    order = archive.members.get("byteorder")
    if order is not None and order.head(8).strip() == b"big":
        return BIG_ENDIAN
    outside = [name for name, member in archive.everything() if name == member.name]
    if outside:
        return (
            f"has an entry {printable(outside[0])!r} outside its folder {printable(archive.root)!r}"
            ", which torch does not read: unpack the archive and scan its files"
        )
    return ""


def _unused(archive: Archive, storages: Storages) -> tuple[str, ...]:
    used = {f"data/{key}" for key in storages.made}
    count = sum(1 for name in archive.members if NUMBERS.fullmatch(name) and name not in used)
    if not count or not used:
        return ()
    return (f"{count} blocks of stored numbers in the archive belong to no tensor.",)

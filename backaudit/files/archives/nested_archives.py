"""Archives of torch.save within another archive."""

from dataclasses import replace

from backaudit.core.errors import CheckpointError
from backaudit.files.archives.archive import Archive, Member, read_archive
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.pickles.machine import Pickled, run
from backaudit.files.pickles.torch_types import finish, rebuild, stored
from backaudit.files.readers.torch_zip import PICKLE, Storages
from backaudit.files.records import Storage


class Window(OpenedFile):
    """Part of a mapped file, read as if it were a file.

    Args:
        member: of an archive, that is not compressed.
    """

    def __init__(self, member: Member) -> None:
        self.path, self.max_bytes = member.file.path, member.file.max_bytes
        self.size, self.identity = member.nbytes, member.file.identity
        self.copy = None
        self.data = member.file.data[member.start : member.start + member.nbytes]
        self._digest, self._worker = None, None


class _Rebased(Storages):
    """Stored numbers of an archive within a file, told by their place in the file."""

    def __init__(self, archive: Archive, member: Member) -> None:
        super().__init__(archive)
        self._outer: dict[str, Storage] = {}
        self._member = member

    def __call__(self, key: str, dtype: str, numel: int) -> Storage:
        inner = super().__call__(key, dtype, numel)
        if key not in self._outer:
            start = self._member.start + inner.start
            self._outer[key] = replace(inner, file=self._member.file, start=start)
        return self._outer[key]


def read_nested(member: Member, limits: Limits) -> tuple[Archive, Pickled]:
    """Read an archive of ``torch.save`` that is an entry of another.

    Returns:
        Its entries and its pickle.

    Raises:
        CheckpointError: if it is compressed or no such archive.
    """
    if member.deflated:
        raise CheckpointError("has a compressed archive in it, which torch does not write")
    archive = read_archive(Window(member), limits)
    if PICKLE not in archive.members:
        raise CheckpointError("holds an archive that torch.save did not write")
    inner = archive.members[PICKLE]
    pickled = run(
        inner.read(limits.unpacked(member.nbytes)),
        member=f"{member.name}/{inner.name}",
        persistent=stored(_Rebased(archive, member)),
        rebuild=rebuild,
        finish=finish,
    )
    return archive, pickled

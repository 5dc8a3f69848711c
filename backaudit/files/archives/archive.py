"""Zip archives, read strictly: what two programs could read differently is a finding."""

import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.archives.zip_headers import (
    DAMAGED,
    Ending,
    Header,
    central_headers,
    ending,
    is_descriptor,
    local_header,
)
from backaudit.files.contents import FileFinding
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.records import Storage
from backaudit.files.rules import DECEPTIVE_ARCHIVE

STORED, DEFLATED = 0, 8
ENCRYPTED, DESCRIBED, UTF8 = 1, 8, 1 << 11
UNIX = 3
# Entries whose presence changes what torch reads, whatever their case.
STEERING = {
    *("data.pkl", "constants.pkl", "model.json", "byteorder", "version", "archive_format"),
    *("serialized_exported_program.json", ".format_version", ".storage_alignment"),
}
# Beside ``data.pkl``, another loader of torch reads these in its place.
INSTEAD = ("model.json", "archive_format", "serialized_exported_program.json")
MOST_FINDINGS = 12


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive; torch does not check its checksum, so neither does a survey.

    Args:
        name: in full, as the central directory spells it.
        file: the archive.
        start: offset of its (packed) bytes.
        packed: bytes in the archive.
        nbytes: when unpacked.
        deflated: whether it is compressed.
    """

    name: str
    file: OpenedFile
    start: int
    packed: int
    nbytes: int
    deflated: bool

    def storage(self) -> Storage:
        """Its bytes, not yet read."""
        return Storage(self.file, self.start, self.nbytes, self.packed if self.deflated else None)

    def read(self, limit: int) -> memoryview:
        """Its bytes: a view of the mapped archive unless they are compressed.

        Args:
            limit: a longer member is refused.

        Raises:
            CheckpointError: if it is too long, or does not unpack to the size it claims.
        """
        if self.nbytes > limit:
            raise CheckpointError(
                f"has an entry {printable(self.name)!r} of {self.nbytes} bytes, "
                f"more than the {limit} that such an entry may have"
            )
        return self.storage().read()

    def head(self, length: int) -> bytes:
        """Its first bytes, at most ``length``; fewer where it is damaged."""
        packed = self.file.data[self.start : self.start + self.packed]
        if not self.deflated:
            return bytes(packed[:length])
        try:
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            # What is not needed would be copied.
            return unpacker.decompress(packed[: 4 * length], length)
        except zlib.error:
            return b""


@dataclass(frozen=True)
class Archive:
    """An archive's entries.

    Args:
        file: the archive.
        root: folder of the first entry, in which torch looks for everything; "" if that lies in
            no folder.
        entries: all of them, in the order of the central directory.
        members: the same by name within ``root`` (``data.pkl``, ``data/0``); what lies outside it
            by its full name. Of several with one name, the last.
        findings: what two programs could read differently.
    """

    file: OpenedFile
    root: str
    entries: tuple[Member, ...]
    members: dict[str, Member]
    findings: tuple[FileFinding, ...]

    def everything(self) -> Iterator[tuple[str, Member]]:
        """Every entry with its name within the root, also those that share one."""
        for member in self.entries:
            yield within(self.root, member.name), member


def read_archive(opened: OpenedFile, limits: Limits) -> Archive:
    """Read an archive's directory and every local header, and compare them.

    Raises:
        CheckpointError: if it is damaged, uses a feature that no checkpoint needs, or claims too
            much.
    """
    data = opened.data
    end = ending(data)
    if end.count > limits.entries:
        raise CheckpointError(f"has {end.count} entries, over the limit of {limits.entries}")
    central = list(central_headers(data, end))
    pairs = [(header, local_header(data, header.offset)) for header in central]
    entries = tuple(_member(opened, *pair) for pair in pairs)
    limits.check_unpacked(sum(member.nbytes for member in entries), opened.size)
    # Entries within one another would be unpacked over and over.
    limits.check_unpacked(sum(member.packed for member in entries), opened.size)
    names = [member.name for member in entries]
    root = names[0].partition("/")[0] if names and "/" in names[0] else ""
    troubles = [
        *_troubles_of_the_end(end, len(central)),
        *_troubles_of_names(names, root),
        *(trouble for pair in pairs for trouble in _troubles_of_headers(*pair)),
        *_troubles_of_places(data, pairs, end),
    ]
    return Archive(
        file=opened,
        root=root,
        entries=entries,
        members={within(root, member.name): member for member in entries},
        findings=_findings(troubles),
    )


def within(root: str, name: str) -> str:
    """A member's name within the folder in which torch looks; in full if it lies outside."""
    return name.removeprefix(f"{root}/") if root else name


def _member(opened: OpenedFile, central: Header, local: Header) -> Member:
    name = _decoded(central)
    if central.method not in (STORED, DEFLATED):
        raise CheckpointError(
            f"has an entry {printable(name)!r} with compression method {central.method}, "
            "which torch neither writes nor reads: unpack the archive and save it again"
        )
    deflated = central.method == DEFLATED
    if local.end + central.packed > opened.size:
        raise CheckpointError(DAMAGED)
    # Where the two sizes of an unpacked entry differ, neither may reach into the next entry.
    nbytes = central.nbytes if deflated else min(central.nbytes, central.packed)
    return Member(name, opened, local.end, central.packed, nbytes, deflated)


def _decoded(header: Header) -> str:
    try:
        return header.name.decode("utf-8" if header.flags & UTF8 else "ascii")
    except UnicodeDecodeError:
        return header.name.decode("cp437")


def _troubles_of_the_end(end: Ending, found: int) -> Iterator[str]:
    if not end.alike:
        yield "its two end records disagree"
    if end.count != found:
        yield f"its end record counts {end.count} entries, its directory has {found}"
    if end.trailing:
        yield f"{end.trailing} bytes follow its end"


def _troubles_of_names(names: Sequence[str], root: str) -> Iterator[str]:
    seen: dict[str, str] = {}
    for name in names:
        if _leads_astray(name):
            yield f"the name {_shown(name)} leads out of the archive"
        key = _key(within(root, name))
        # torch takes names for equal that differ in case only.
        if key in seen:
            yield f"{_shown(seen[key])} and {_shown(name)} are names for one entry"
        seen[key] = name
        if key in STEERING and within(root, name) != key:
            yield f"torch takes the name {_shown(name)} for {key!r}"
    if "data.pkl" in seen:
        yield from (f"it holds both 'data.pkl' and {key!r}" for key in INSTEAD if key in seen)
    hidden = {key.rpartition("/")[2] for key in seen if key != "data.pkl" and not _is_extra(key)}
    if "data.pkl" in hidden:
        yield (
            "it holds a second 'data.pkl' in another folder"
            if "data.pkl" in seen
            else (f"its 'data.pkl' does not lie in {printable(root)!r}, where torch looks for it")
        )


def _is_extra(key: str) -> bool:
    return key.startswith("extra/")


def _key(name: str) -> str:
    steps = [step.rstrip(". ") for step in name.casefold().replace("\\", "/").split("/")]
    return "/".join(step for step in steps if step)


def _leads_astray(name: str) -> bool:
    steps = name.replace("\\", "/").split("/")
    return ".." in steps or not steps[0] or steps[0].endswith(":") or "\0" in name or "\\" in name


def _shown(name: str | Header) -> str:
    return repr(printable(name if isinstance(name, str) else _decoded(name)))


def _troubles_of_headers(central: Header, local: Header) -> Iterator[str]:
    if central.name != local.name:
        yield f"{_shown(central)} is called {_shown(local)} in its own header"
    if central.flags & ENCRYPTED or local.flags & ENCRYPTED:
        yield f"{_shown(central)} is marked as encrypted"
    if (central.flags ^ local.flags) & ~ENCRYPTED or central.method != local.method:
        yield f"{_shown(central)} has other flags or another compression in its own header"
    if not _agree_on_sizes(central, local):
        yield f"{_shown(central)} has another size in its own header"
    if central.method == STORED and central.packed != central.nbytes:
        yield f"{_shown(central)} is not compressed, but has two sizes"
    if central.renamed or local.renamed:
        yield f"{_shown(central)} has another name in an extra field"
    if _is_link(central):
        yield f"{_shown(central)} is a link to another file"


def _agree_on_sizes(central: Header, local: Header) -> bool:
    sizes = (local.packed, local.nbytes)
    later = local.flags & DESCRIBED and sizes == (0, 0)
    return bool(later) or sizes == (central.packed, central.nbytes)


def _is_link(header: Header) -> bool:
    return header.attributes & 0xFF == UNIX and stat.S_ISLNK(header.attributes >> 16)


def _troubles_of_places(
    data: memoryview, pairs: Sequence[tuple[Header, Header]], end: Ending
) -> Iterator[str]:
    """Every byte must belong to one entry or to the directory."""
    placed = sorted(pairs, key=lambda pair: pair[0].offset)
    starts = [central.offset for central, _ in placed] + [end.start]
    if starts[0]:
        yield f"{starts[0]} bytes stand before its first entry"
    for (central, local), following in zip(placed, starts[1:], strict=True):
        last = local.end + central.packed
        if last > following:
            yield f"{_shown(central)} overlaps what follows it"
        elif local.flags & DESCRIBED:
            if not is_descriptor(data[last:following], central.packed, central.nbytes):
                yield f"{_shown(central)} is followed by bytes that belong to no entry"
        elif last < following:
            yield (
                f"{_shown(central)} is followed by {following - last} bytes that belong to no entry"
            )
    if end.start + end.size != end.records:
        yield "bytes that belong to no entry stand between its directory and its end"


def _findings(troubles: Sequence[str]) -> tuple[FileFinding, ...]:
    shown = list(troubles[:MOST_FINDINGS])
    if len(troubles) > MOST_FINDINGS:
        shown.append(f"there are {len(troubles) - MOST_FINDINGS} more such contradictions")
    return tuple(
        FileFinding(
            DECEPTIVE_ARCHIVE,
            f"The archive can be read in two ways: {trouble}.",
            unsafe=True,
        )
        for trouble in shown
    )

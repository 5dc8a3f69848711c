"""Pickles in a file: the one that counts, those that follow it, and those that lie beside it."""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.archives.archive import Archive, Member
from backaudit.files.contents import FileFinding, GlobalUse, Level
from backaudit.files.limits import Limits
from backaudit.files.pickles.machine import Pickled, run
from backaudit.files.pickles.state import COMPUTED
from backaudit.files.rules import DECEPTIVE_ARCHIVE

# Members of torch's archives that hold numbers or short texts, by their names.
NUMBERS = re.compile(r"(data|constants)/\d+")
# Those of torch.export are numbers or pickles, and numbers may begin as a pickle does.
WEIGHTS = re.compile(r"data/(weights|constants)/\w+")
TEXTS = {"version", "byteorder", ".data/serialization_id", ".format_version", ".storage_alignment"}
PICKLE_NAMES = (".pkl", ".pickle", ".p", ".joblib", ".dill")
MOST_STACKED = 64
MOST_STACKED_BYTES = 2**20
MOST_WALKED_BYTES = 16 * 2**20


def walk_rest(
    data: memoryview, start: int, member: str = ""
) -> tuple[tuple[GlobalUse, ...], tuple[FileFinding, ...]]:
    """Walk what follows the end of a pickle or of a file's numbers, where nothing should.

    Args:
        data: bytes that hold both.
        start: of what follows.
        member: of an archive, that holds them.

    Returns:
        What it would import if it is pickles, and a finding that it is there.
    """
    if start >= len(data):
        return (), ()
    where = f"entry {printable(member)!r}" if member else "file"
    finding = FileFinding(
        DECEPTIVE_ARCHIVE,
        f"{len(data) - start} bytes follow the end of what torch reads in the {where}, at offset "
        f"{start}: another program may read them instead.",
        unsafe=True,
    )
    uses = tuple(use for pickled in stacked(data, start, member) for use in pickled.uses)
    return uses, (finding,)


def stacked(data: memoryview, start: int = 0, member: str = "") -> Iterator[Pickled]:
    """Walk pickles that follow one another, until bytes that are none; values are left out."""
    last = min(len(data), start + MOST_STACKED_BYTES)
    for _ in range(MOST_STACKED):
        if start >= last:
            return
        pickled = run(data, start=start, member=member, persistent=_ignored)
        yield replace(pickled, value=None)
        if pickled.problem or pickled.end <= start:
            return
        start = pickled.end


def walk_members(
    archive: Archive, read: Collection[Member | None], limits: Limits
) -> tuple[tuple[GlobalUse, ...], str]:
    """What the pickles of an archive would import, but for those that its reader read.

    Args:
        archive: any zip archive.
        read: members that were read already.
        limits: on what one of them may unpack to.

    Returns:
        Those names; and why the archive cannot be used, if one of its pickles cannot be followed
        to its end, behind which another program may find more. "" otherwise.
    """
    uses: list[GlobalUse] = []
    problem, walked = "", 0
    for name, member in archive.everything():
        if member in read or name in TEXTS or NUMBERS.fullmatch(name):
            continue
        try:
            data = member.read(limits.unpacked(member.packed))
        except CheckpointError:
            # What cannot be unpacked cannot be loaded by anyone either.
            continue
        pickles = list(stacked(data, member=member.name))
        walked += pickles[-1].end if pickles else 0
        if walked > MOST_WALKED_BYTES:
            return tuple(uses), "holds more other pickles than can be read: save the weights alone"
        marked = bytes(data[:1]) == b"\x80" and not WEIGHTS.fullmatch(name)
        if name.endswith(PICKLE_NAMES) or marked or is_pickle(pickles):
            uses.extend(use for pickled in pickles for use in pickled.uses)
            if not pickles or pickles[-1].problem or pickles[-1].end < len(data):
                problem = f"holds a pickle {printable(name)!r} that cannot be read to its end"
    return tuple(uses), problem


def is_pickle(pickles: list[Pickled]) -> bool:
    """Whether bytes without a pickle's mark are one: it ends properly or would do harm."""
    uses = [use for pickled in pickles for use in pickled.uses if _is_name(use)]
    whole = bool(pickles) and not pickles[0].problem
    return (whole and bool(uses)) or any(use.level is Level.DANGEROUS for use in uses)


def _is_name(use: GlobalUse) -> bool:
    """Whether it can be imported; lines of any text that begins with a c or an i cannot."""
    steps = (*use.module.split("."), *use.name.split("."))
    return use.module == COMPUTED or all(step.isidentifier() for step in steps)


def _ignored(_name: object) -> object:
    return None

"""From bytes to contents, by the format that the bytes tell."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.archives.archive import Archive, read_archive
from backaudit.files.contents import Contents, FileFinding, GlobalUse
from backaudit.files.formats import (
    REENCODED,
    file_format,
    is_reencoded,
    is_tar,
    nested_archive,
    unknown_bytes,
    zip_format,
)
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.readers.bare_pickle import disguised_uses, read_bare_pickle
from backaudit.files.readers.export import read_export
from backaudit.files.readers.onnx import read_onnx
from backaudit.files.readers.pickled import is_pickle, stacked, walk_members
from backaudit.files.readers.safetensors import read_safetensors
from backaudit.files.readers.torch_legacy import read_torch_legacy
from backaudit.files.readers.torch_zip import read_torch_zip
from backaudit.files.readers.torchscript import read_torchscript
from backaudit.files.rules import DECEPTIVE_ARCHIVE

UNKNOWN = "unknown"
TAR = FileFinding(
    DECEPTIVE_ARCHIVE,
    "The file is a tar archive as well, which torch would read in its place.",
    unsafe=True,
)
# What a fault in a reader may raise beside CheckpointError; no file may end the program.
FAULTS = (
    *(ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError),
    *(MemoryError, OSError, RecursionError, TypeError, ValueError),
)
# Members of an archive that its reader reads itself.
READ_BY_READER: dict[str, tuple[str, ...]] = {
    "torch-zip": ("data.pkl",),
    "torchscript": ("data.pkl", "constants.pkl"),
    "torch-export": (),
}


def read_file(opened: OpenedFile, limits: Limits) -> tuple[str, Contents]:
    """Tell a file's format and read it; never raises for what is in it.

    Returns:
        The format, and what was found; why the file cannot be read is the contents' problem.
    """
    try:
        kind = file_format(opened.data) or _unmarked_format(opened)
        archive = read_archive(opened, limits) if kind == "zip" else None
    except CheckpointError as error:
        mangled = is_reencoded(opened.data)
        return UNKNOWN, Contents(problem=REENCODED if mangled else str(error))
    if archive is not None:
        return _read_archive(archive, limits)
    contents = _guarded(lambda: READERS[kind](opened, limits))
    if kind == "safetensors":
        contents = replace(contents, uses=(*contents.uses, *disguised_uses(opened.data)))
    if is_tar(opened.data):
        contents = replace(contents, findings=(*contents.findings, TAR))
    return kind, contents


def _unmarked_format(opened: OpenedFile) -> str:
    if is_pickle(list(stacked(opened.data))):
        return "pickle"
    raise unknown_bytes()


def _read_archive(archive: Archive, limits: Limits) -> tuple[str, Contents]:
    kind = UNKNOWN
    try:
        kind = zip_format(archive)
        contents = _guarded(lambda: ZIP_READERS[kind](archive.file, archive, limits))
    except CheckpointError as error:
        contents = Contents(problem=str(error))
    read = () if contents.problem else READ_BY_READER[kind]
    others, unread = walk_members(archive, [archive.members.get(name) for name in read], limits)
    return kind, replace(
        contents,
        uses=_each_once((*contents.uses, *others)),
        findings=tuple(dict.fromkeys((*archive.findings, *contents.findings))),
        problem=contents.problem or unread or _nested(archive, kind),
    )


def _each_once(uses: Sequence[GlobalUse]) -> tuple[GlobalUse, ...]:
    """Each name once for each place; what a reader said comes before what a walk found."""
    placed: dict[tuple[object, ...], GlobalUse] = {}
    for use in uses:
        placed.setdefault((use.member, use.offset, use.module, use.name), use)
    return tuple(placed.values())


def _nested(archive: Archive, kind: str) -> str:
    # Programs of torch.export keep their weights in archives within the archive.
    held = nested_archive(archive) if kind != "torch-export" else ""
    return (
        f"holds another archive, {printable(held)!r}, that was not read: take it out of there"
        if held
        else ""
    )


def _guarded(reader: Callable[[], Contents]) -> Contents:
    try:
        return reader()
    except CheckpointError as error:
        return Contents(problem=str(error))
    except FAULTS as error:
        told = printable(f"{type(error).__name__}: {error}", limit=120)
        return Contents(problem=f"made its reader fail ({told}): it is damaged or made to harm")


READERS: dict[str, Callable[[OpenedFile, Limits], Contents]] = {
    "torch-legacy": read_torch_legacy,
    "safetensors": read_safetensors,
    "onnx": read_onnx,
    "pickle": read_bare_pickle,
}
ZIP_READERS: dict[str, Callable[[OpenedFile, Archive, Limits], Contents]] = {
    "torch-zip": read_torch_zip,
    "torchscript": read_torchscript,
    "torch-export": read_export,
}

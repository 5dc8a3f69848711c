"""Where a rewritten file or folder goes: refusals before anything is written, and one rename."""

import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from backaudit.core.errors import OutputError
from backaudit.core.printable import printable
from backaudit.core.writing import require_free

SPARE = 2**20
TORCH = ("torch-zip", "torch-legacy", "torchscript", "torch-export")
# Of what formats a file is by its name; libraries go by that.
SUFFIXES = {
    ".safetensors": ("safetensors",),
    ".onnx": ("onnx",),
    **dict.fromkeys((".pt", ".pth", ".bin", ".th", ".ckpt", ".tar", ".pt2"), TORCH),
}


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A folder in the folder of ``target``, to make it in; it vanishes with what is left in it.

    Raises:
        OutputError: if it cannot be made, or something in the block cannot be written.
    """
    folder = target.with_name(f".backaudit-{secrets.token_hex(8)}.tmp")
    try:
        folder.mkdir()
    except OSError as error:
        raise OutputError(
            f"{printable(target)} cannot be written, because its folder does not take files: "
            f"{error.strerror}"
        ) from error
    try:
        yield folder
    except OSError as error:
        raise OutputError(f"{printable(target)} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_room(output: Path, size: int) -> None:
    """Refuse a folder that takes no files, or not as many bytes.

    Raises:
        OutputError: says which and how many.
    """
    with beside(output.resolve()) as folder:
        free = shutil.disk_usage(folder).free
    if free < size + SPARE:
        raise OutputError(
            f"{printable(output)} needs {size + SPARE:,} bytes, and its folder has {free:,} left: "
            "name an output elsewhere, or make room"
        )


def require_other(output: Path, originals: Collection[Path]) -> None:
    """Refuse an output that is one of the original's files, by whatever name or link.

    Raises:
        OutputError: if it is.
    """
    for original in originals:
        if output.exists() and original.exists() and output.samefile(original):
            raise OutputError(
                f"{printable(output)} is the original, which is never written to: name another "
                "output"
            )


def require_suffix(output: Path, original: Path, file_format: str) -> None:
    """Refuse a name that says another format than the original's, which is kept.

    Raises:
        OutputError: says what to call it.
    """
    suffix, usual = output.suffix.lower(), original.suffix
    if suffix != usual.lower() and file_format not in SUFFIXES.get(suffix, (file_format,)):
        raise OutputError(
            f"{printable(output)} would be a file of the original's format, {file_format}, under "
            f"the name of another: call it *{usual}"
        )


def require_file(output: Path, *, force: bool) -> None:
    """Refuse an output that must not be written.

    Raises:
        OutputError: if it exists without ``force``, or is no regular file.
    """
    require_free(output.resolve(), force=force)


def require_folder(output: Path, original: Path, names: Collection[str], *, force: bool) -> None:
    """Refuse a folder that must not be written, or that holds more than would replace it.

    Args:
        output: the folder.
        original: the suspect's.
        names: what the new folder will hold.
        force: whether an older result may be replaced.

    Raises:
        OutputError: says why.
    """
    target, source = output.resolve(), original.resolve()
    if target == source or source in target.parents or target in source.parents:
        raise OutputError(
            f"{printable(output)} and the original lie within one another: name a folder elsewhere"
        )
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{printable(output)} is no folder, but the original is; name a new one")
    present = sorted(entry.name for entry in target.iterdir())
    if present and not force:
        raise OutputError(f"{printable(output)} exists; remove it, name another, or add --force")
    strange = [name for name in present if name not in names]
    if strange:
        raise OutputError(
            f"{printable(output)} holds {printable(strange[0])}, which a repaired copy of the "
            "original would not: name another folder"
        )


def put(made: Path, target: Path) -> None:
    """Give a file or a folder that is complete its name, in place of what has it now."""
    target = target.resolve()
    if not made.is_dir() or not target.exists():
        made.replace(target)
        return
    old = made.with_name(f"{made.name}.old")
    target.replace(old)
    try:
        made.replace(target)
    except OSError:
        old.replace(target)
        raise

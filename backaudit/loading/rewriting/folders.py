"""What else lies in a folder of weights, and what of it a repaired copy holds."""

import shutil
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from backaudit.core.errors import OutputError
from backaudit.core.printable import printable
from backaudit.files.folders import Folder
from backaudit.files.limits import USUAL
from backaudit.files.readers.hub_folder import INDEX, OTHER_WEIGHTS

# Formats of weights that are not read, and would bring the old ones back.
UNREAD_WEIGHTS = (
    *(".h5", ".hdf5", ".keras", ".msgpack", ".ot", ".tflite", ".pb", ".gguf", ".mlmodel", ".npz"),
    *(".pkl", ".pickle", ".joblib", ".npy", ".engine", ".trt", ".onnx_data", ".data", ".zip"),
)
# Version control keeps the old weights, and downloads their digests.
TOOLS = (".git", ".cache", ".huggingface")
MOST_FILES = 10_000


@dataclass(frozen=True)
class Rest:
    """Files of a folder beside those that were read.

    Args:
        kept: paths within the folder, which are copied as they are.
        left_out: paths within the folder, which are not copied.
    """

    kept: tuple[Path, ...]
    left_out: tuple[Path, ...]


def rest_of(folder: Path, read: Collection[str]) -> Rest:
    """Sort what lies in a folder beside the files that were read.

    Args:
        folder: the suspect's.
        read: names of the files that were read.

    Raises:
        OutputError: if there is too much of it.
    """
    allowed = Folder(folder, USUAL).allowed()
    kept: list[Path] = []
    left_out: list[Path] = []
    for path in _walked(folder):
        inside = path.relative_to(folder)
        if str(inside) in read:
            continue
        (kept if _is_kept(path, allowed) else left_out).append(inside)
        if len(kept) + len(left_out) > MOST_FILES:
            raise OutputError(f"{printable(folder)} holds more than {MOST_FILES:,} files")
    return Rest(tuple(kept), tuple(left_out))


def copy_rest(folder: Path, rest: Rest, target: Path) -> None:
    """Copy what is kept."""
    for inside in rest.kept:
        (target / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / inside, target / inside)


def _walked(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink() and path.name not in TOOLS:
            yield from _walked(path)
        else:
            yield path


def _is_kept(path: Path, allowed: Collection[Path]) -> bool:
    """Whether it is an ordinary file of its own folder or an allowed one, and no weights."""
    name = path.name.lower()
    if name in TOOLS or name.endswith((*OTHER_WEIGHTS, *UNREAD_WEIGHTS, INDEX)):
        return False
    try:
        resolved = path.resolve(strict=True)
        regular = stat.S_ISREG(resolved.stat().st_mode)
    except (OSError, RuntimeError):
        return False
    return regular and resolved.parent in (path.parent.resolve(), *allowed)

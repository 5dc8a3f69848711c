"""What the user wants screened: a folder, a glob, an archive, a picture, or paths on a stream."""

import glob
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from backaudit.core.errors import InputError, SettingError
from backaudit.firewall.stream import Picture, Task
from backaudit.loading.clean_images.arrays import find_in_archive
from backaudit.loading.clean_images.found import Found
from backaudit.loading.clean_images.images import SHORTER_SIDE
from backaudit.loading.clean_images.pictures import SUFFIXES, UNREADABLE, read_picture
from backaudit.loading.clean_images.resizing import CROP_MARGIN, fitted

STANDARD_INPUT = "-"
KINDS = (
    "Give a folder, a picture, an .npz file, a quoted glob such as 'incoming/**/*.png', or - for "
    "paths on standard input, one per line."
)


@dataclass(frozen=True)
class Inputs:
    """Images to screen, none of which is read yet.

    Args:
        source: for the report.
        kind: ``folder``, ``glob``, ``npz``, ``file``, ``files`` or ``stream``.
        count: how many there are; None for a stream.
        paths: files, one by one; empty for an archive.
        archive: what an archive holds.
        left_out: files of a folder that are no pictures by their name.
    """

    source: str
    kind: str
    count: int | None
    paths: Iterable[str] = ()
    archive: Found | None = None
    left_out: int = 0

    def tasks(self, shape: tuple[int, int, int]) -> Iterator[Task]:
        """One task an image, which brings it to ``shape`` (C, H, W)."""
        if self.archive is not None:
            name, found = self.source, self.archive
            return (partial(_of_archive, name, found, i, shape) for i in range(found.count))
        root = Path(self.source).resolve() if self.kind == "folder" else None
        return (partial(_of_file, path, root, shape) for path in self.paths)


def find_inputs(texts: Sequence[str], lines: Iterable[bytes] = ()) -> Inputs:
    """See what is to be screened.

    Args:
        texts: one path, glob or ``-``; or several paths of pictures.
        lines: paths for ``-``, one a line.

    Raises:
        SettingError: if ``-`` is not alone.
        InputError: if there is nothing of the kind, or nothing in it.
        CleanSetError: if an archive cannot be used.
    """
    if STANDARD_INPUT in texts and len(texts) > 1:
        raise SettingError("- is standard input, and stands alone")
    if len(texts) > 1:
        return Inputs(f"{len(texts)} paths", "files", len(texts), texts)
    (text,) = texts
    if text == STANDARD_INPUT:
        return Inputs("standard input", "stream", None, paths_in(lines))
    path = Path(text)
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _archive(path) if path.suffix.lower() == ".npz" else Inputs(text, "file", 1, (text,))
    if not glob.has_magic(text):
        raise InputError(f"{text} does not exist. {KINDS}")
    # Path.glob takes no absolute patterns.
    names = glob.glob(text, recursive=True)  # noqa: PTH207
    matched = sorted(name for name in names if Path(name).is_file())
    if not matched:
        raise InputError(f"no file matches {text}. {KINDS}")
    return Inputs(text, "glob", len(matched), matched)


def paths_in(lines: Iterable[bytes]) -> Iterator[str]:
    """Paths on a stream, one a line; empty lines are none."""
    for line in lines:
        name = line.removesuffix(b"\n").removesuffix(b"\r")
        if name:
            yield os.fsdecode(name)


def _folder(folder: Path) -> Inputs:
    pictures, others = 0, 0
    for path in _files(folder):
        is_picture = path.suffix.lower() in SUFFIXES
        pictures, others = pictures + is_picture, others + (not is_picture)
    if not pictures:
        seen = f" ({others:,} other files)" if others else ""
        raise InputError(f"{folder} holds no pictures{seen}. {KINDS}")
    return Inputs(str(folder), "folder", pictures, _Pictures(folder), left_out=others)


@dataclass(frozen=True)
class _Pictures:
    """The pictures of a folder, found again each time, so that no list of them is held."""

    folder: Path

    def __iter__(self) -> Iterator[str]:
        return (str(path) for path in _files(self.folder) if path.suffix.lower() in SUFFIXES)


def _files(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}.") from error

    for parent, subfolders, names in os.walk(folder, onerror=refuse, followlinks=False):
        subfolders.sort()
        yield from (Path(parent, name) for name in sorted(names))


def _archive(path: Path) -> Inputs:
    found = find_in_archive(path)
    if not found.count:
        raise InputError(f"{path} holds no images. {KINDS}")
    return Inputs(str(path), "npz", found.count, archive=found)


def _of_archive(name: str, found: Found, index: int, shape: tuple[int, int, int]) -> Picture:
    (image,), _ = found.decode([index])
    fit = fitted([image], shape[1:], shape[0])[0]
    return Picture(f"{name}[{index}]", fit, image.shape[1:] != shape[1:])


def _of_file(name: str, root: Path | None, shape: tuple[int, int, int]) -> Picture:
    path = Path(name)
    problem = _obstacle(path, root)
    if problem:
        return Picture(name, None, problem=problem)
    side = max(SHORTER_SIDE, int(max(shape[1:]) * CROP_MARGIN))
    try:
        image, _ = read_picture(path, side)
    except UnidentifiedImageError:
        return Picture(name, None, problem="it is no picture of a known format")
    except (*UNREADABLE, MemoryError) as error:
        return Picture(name, None, problem=str(error) or type(error).__name__)
    fit = fitted([image], shape[1:], shape[0])[0]
    return Picture(name, fit, image.shape[1:] != shape[1:])


def _obstacle(path: Path, root: Path | None) -> str:
    """Why a path is not even opened; empty if nothing speaks against it."""
    try:
        if not path.exists():
            return "it does not exist"
        if not path.is_file():
            return "it is no regular file"
        # Whoever fills a watched folder must not choose which other files are read and shown.
        if root is not None and not path.resolve().is_relative_to(root):
            return "it is a link out of the folder"
    except (OSError, ValueError, RuntimeError) as error:
        return str(error)
    return ""


@contextmanager
def without_warnings() -> Iterator[None]:
    """Inside the block, damaged metadata and large pictures warn nobody: limits of ours raise."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield

"""A folder of image files -> which images it holds, under which labels."""

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from torch import Tensor

from backaudit.core.errors import CleanSetError
from backaudit.core.printable import printable
from backaudit.core.progress import track
from backaudit.loading.clean_images.found import Decoded, Found, counted
from backaudit.loading.clean_images.pictures import SUFFIXES, UNREADABLE, read_picture

LABELS = "labels.csv"
HEADERS = frozenset({"path", "file", "filename", "file_name", "image", "name"})
NAMED = 3
THREADS = 4


def find_in_folder(folder: Path, shorter_side: int) -> Found:
    """See what a folder holds: class folders, a flat folder with labels.csv, or a flat folder.

    Hidden files, files that are no images and links that lead out of the folder are left out.

    Args:
        folder: to look into.
        shorter_side: an image whose shorter side is longer than this is shrunk to it when decoded.

    Raises:
        CleanSetError: if the layout is ambiguous or labels.csv cannot be used.
    """
    paths, notes = _image_files(folder)
    if (folder / LABELS).is_file():
        return _listed(folder, set(paths), notes, shorter_side)
    loose = [path for path in paths if path.parent == folder]
    if loose and len(loose) < len(paths):
        raise CleanSetError(
            f"{folder} holds {counted(len(loose), 'image')} beside folders that hold "
            f"{len(paths) - len(loose)}: it is not clear whether the folders are classes. Move "
            f"the loose images away, or add a {LABELS} (path,label)."
        )
    decode = partial(_decode, folder, paths, shorter_side)
    if loose or not paths:
        return Found("unlabelled folder", len(paths), None, None, notes, decode)
    if all(len(path.relative_to(folder).parts) > 2 for path in paths):
        raise CleanSetError(
            f"the class folders of {folder} seem to lie one level deeper: give the folder that "
            f"holds them, such as {paths[0].parents[1]}."
        )
    classes = tuple(path.relative_to(folder).parts[0] for path in paths)
    return Found("class folders", len(paths), classes, None, notes, decode)


def _image_files(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Image files of a folder and its subfolders, in order, and what was left out."""
    root = folder.resolve()
    paths: list[Path] = []
    left_out: Counter[str] = Counter()
    for path in _visible_files(folder):
        if path.suffix.lower() not in SUFFIXES:
            left_out["other file"] += path.name != LABELS
        elif not path.resolve().is_relative_to(root):
            left_out["link out of the folder"] += 1
        else:
            paths.append(path)
    notes = (f"Ignored {counted(n, kind)}." for kind, n in left_out.items() if n)
    return paths, tuple(notes)


def _visible_files(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise CleanSetError(f"{error.filename} cannot be read: {error.strerror}.") from error

    for parent, subfolders, names in os.walk(folder, onerror=refuse, followlinks=False):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _listed(folder: Path, present: set[Path], notes: tuple[str, ...], shorter_side: int) -> Found:
    """What labels.csv lists."""
    if not (folder / LABELS).resolve().is_relative_to(folder.resolve()):
        raise CleanSetError(f"{folder / LABELS} is a link out of the folder: copy the file there.")
    rows = _rows(folder / LABELS)
    paths = [Path(os.path.normpath(folder / name)) for name, _ in rows]
    missing = [name for (name, _), path in zip(rows, paths, strict=True) if path not in present]
    if missing:
        raise CleanSetError(
            f"{folder / LABELS} lists {counted(len(missing), 'name')} of no image inside {folder}: "
            f"{_first(missing)}. Give paths relative to the folder."
        )
    twice = [path.name for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise CleanSetError(f"{folder / LABELS} lists {_first(twice)} more than once.")
    if len(paths) < len(present):
        unlisted = counted(len(present) - len(paths), "image")
        notes += (f"Ignored {unlisted} that {LABELS} does not list.",)
    labels = tuple(label for _, label in rows)
    decode = partial(_decode, folder, paths, shorter_side)
    if all(label.isdecimal() for label in labels):
        return Found(LABELS, len(paths), None, tuple(int(label) for label in labels), notes, decode)
    return Found(LABELS, len(paths), labels, None, notes, decode)


def _rows(path: Path) -> list[tuple[str, str]]:
    """(path, label) of each line; a header is left out."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            rows = [row for row in csv.reader(opened) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CleanSetError(f"{path} cannot be read as UTF-8 CSV: {error}.") from error
    if rows and rows[0][0].strip().lower() in HEADERS:
        del rows[0]
    for number, row in enumerate(rows, start=1):
        if len(row) < 2 or not row[0].strip() or not row[1].strip():
            raise CleanSetError(f"{path}, entry {number}: expected path,label but found {row!r}.")
    return [(row[0].strip(), row[1].strip()) for row in rows]


def _decode(
    folder: Path, paths: Sequence[Path], shorter_side: int, positions: Sequence[int]
) -> Decoded:
    """Read the files at ``positions``, several at a time, and sum up what had to be done."""
    images: list[Tensor] = []
    unreadable: list[str] = []
    conversions: Counter[str] = Counter()
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        pending = [pool.submit(read_picture, paths[index], shorter_side) for index in positions]
        for index, future in zip(positions, track(pending, "reading images"), strict=True):
            try:
                image, done = future.result()
            except UNREADABLE as error:
                unreadable.append(f"{paths[index].relative_to(folder)} ({error})")
                continue
            images.append(image)
            conversions.update(done)
    if unreadable:
        raise CleanSetError(
            f"{len(unreadable)} of {len(positions)} image files of {folder} cannot be read: "
            f"{_first(unreadable)}. Remove or replace them."
        )
    notes = (f"{counted(n, 'image')}: {what}." for what, n in sorted(conversions.items()))
    return tuple(images), tuple(notes)


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(printable(name, limit=160) for name in names[:NAMED]) + more

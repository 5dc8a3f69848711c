"""What a file is and what it holds, told without running anything in it."""

from pathlib import Path

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.contents import Contents, Survey
from backaudit.files.folders import Folder
from backaudit.files.formats import is_json
from backaudit.files.judging import judged
from backaudit.files.limits import USUAL, Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.readers.hub_folder import read_folder
from backaudit.files.reading import UNKNOWN, read_file


def survey(path: Path, limits: Limits = USUAL) -> Survey:
    """Tell what a file or a folder holds; nothing in it is run or imported.

    Args:
        path: a file, an index of shards, or a folder that holds weights.
        limits: on what is read.

    Raises:
        CheckpointError: if there is no such file, it is no regular file, it cannot be opened or
            is larger than the limit. What is wrong within it is in ``contents.problem``.
    """
    if path.is_dir():
        return _survey_folder(path, Folder(path, limits), "")
    try:
        opened = OpenedFile(path, limits.max_bytes)
    except CheckpointError as error:
        raise CheckpointError(f"{printable(path, limit=200)} {error}.") from error
    if is_json(opened.data):
        return _survey_folder(path, Folder(path.parent, limits), path.name)
    opened.start_digest()
    kind, contents = read_file(opened, limits)
    source = _with_those_beside(opened, contents)
    return Survey(path, kind, source.size, source, judged(contents, limits, source.size))


def _with_those_beside(opened: OpenedFile, contents: Contents) -> OpenedFile | Folder:
    """The file, together with those in its folder that hold its weights."""
    if not contents.files:
        return opened
    together = {file.path.name: file for file in (*contents.files, opened)}
    for file in together.values():
        file.start_digest()
    return Folder(opened.path.parent, USUAL, together)


def _survey_folder(path: Path, folder: Folder, index: str) -> Survey:
    kind = UNKNOWN
    try:
        kind, contents = read_folder(folder, read_file, index)
    except CheckpointError as error:
        contents = Contents(files=tuple(folder.opened.values()), problem=str(error))
    return Survey(path, kind, folder.size, folder, judged(contents, folder.limits, folder.size))

"""Where in this process's memory a file is mapped; known on Linux only."""

from pathlib import Path

from backaudit.files.opened import OpenedFile

MAPS = Path("/proc/self/maps")


def first_byte(file: OpenedFile, address: int) -> int | None:
    """Address of the first byte of a file's copy in the mapping that an address lies in.

    Args:
        file: whose copy in memory should be mapped there.
        address: of any byte.

    Returns:
        None if another file or none is mapped there, or the system does not tell.
    """
    if file.copy is None:
        return None
    try:
        inode = Path(file.copy).stat().st_ino
        lines = MAPS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in lines:
        span, _, offset, _, mapped = line.split()[:5]
        start, end = (int(bound, 16) for bound in span.split("-"))
        if start <= address < end:
            return start - int(offset, 16) if int(mapped) == inode else None
    return None

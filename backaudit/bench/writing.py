"""Files that are written whole or not at all, so that an interrupted zoo goes on where it was."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write all of ``data``, or leave ``path`` as it was; processes that read it see no half."""
    temporary = path.with_name(f".backaudit-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

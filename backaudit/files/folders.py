"""Files of a folder, opened without leaving it."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.plain_json import parsed_json


@dataclass
class Folder:
    """A folder and what was opened in it.

    Args:
        path: of the folder.
        limits: on all its files together.
        opened: name -> file.
    """

    path: Path
    limits: Limits
    opened: dict[str, OpenedFile] = field(default_factory=dict)

    def holds(self, name: str) -> bool:
        """Whether there is a file, or a link, of that name."""
        return (self.path / name).is_symlink() or (self.path / name).exists()

    def open(self, name: str) -> OpenedFile:
        """Open a file of the folder, once.

        Args:
            name: without any folder.

        Raises:
            CheckpointError: if the name leads elsewhere, or the file cannot be opened, or all
                files together are too large.
        """
        if name not in self.opened:
            left = self.limits.max_bytes - self.size
            try:
                opened = OpenedFile(self._resolved(name), max(0, left))
            except CheckpointError as error:
                raise CheckpointError(f"names {printable(name)!r}, which {error}") from error
            opened.start_digest()
            self.opened[name] = opened
        return self.opened[name]

    def json(self, name: str) -> dict[str, object]:
        """Parse a file of plain JSON.

        Raises:
            CheckpointError: if it is none.
        """
        opened = self.open(name)
        if opened.size > self.limits.header:
            raise CheckpointError(f"has a {printable(name)!r} of {opened.size} bytes, too many")
        try:
            parsed = parsed_json(opened.data)
        except ValueError as error:
            raise CheckpointError(f"has a damaged {printable(name)!r} ({error})") from error
        if not isinstance(parsed, dict):
            raise CheckpointError(f"has a {printable(name)!r} that is no table of names")
        return parsed

    @property
    def size(self) -> int:
        """Bytes of all files that were opened."""
        return sum(opened.size for opened in self.opened.values())

    @property
    def sha256(self) -> str:
        """Digest of the names and digests of all files that were opened."""
        lines = [f"{name}\0{self.opened[name].sha256}\n" for name in sorted(self.opened)]
        return hashlib.sha256("".join(lines).encode(errors="surrogatepass")).hexdigest()

    def _resolved(self, name: str) -> Path:
        if not name or name in (".", "..") or any(mark in name for mark in "/\\:\0"):
            raise CheckpointError("leads out of its folder: only files beside it are read")
        try:
            resolved = (self.path / name).resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise CheckpointError("does not exist: copy or download it too") from error
        if resolved.parent not in self.allowed():
            raise CheckpointError("is a link that leads out of its folder: copy the file itself")
        return resolved

    def allowed(self) -> tuple[Path, ...]:
        """The folder; and where a cache of the Hugging Face hub keeps what its links stand for."""
        folder = self.path.resolve()
        if folder.parent.name == "snapshots":
            return folder, folder.parent.parent / "blobs"
        return (folder,)

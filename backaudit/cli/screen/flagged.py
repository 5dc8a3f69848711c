"""Flagged pictures, copied to a folder of their own."""

import shutil
from collections import Counter
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

from backaudit.cli.messages import say
from backaudit.core.errors import OutputError, SettingError
from backaudit.reports.screening.pictures import png


def check_folder(folder: Path, inputs: list[str]) -> None:
    """Make sure that flagged pictures can be copied to a folder that is not screened itself.

    Raises:
        SettingError: if it lies in a folder that is screened.
        OutputError: if it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"--move-flagged {folder} is a file; name a folder")
    for text in inputs:
        if Path(text).is_dir() and folder.resolve().is_relative_to(Path(text).resolve()):
            raise SettingError(
                f"--move-flagged {folder} lies in {text}, so that its copies would be screened "
                "too; name a folder elsewhere"
            )


class Copies:
    """Copies pictures under their own names, and never over one another.

    Args:
        folder: is made when the first picture is copied.

    Attributes:
        count: pictures copied.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self.taken: Counter[str] = Counter()

    def add_file(self, path: str) -> None:
        """Copy a file.

        Raises:
            OutputError: if the folder does not take it.
        """
        try:
            source = Path(path).open("rb")  # noqa: SIM115 - closed below; its errors are others
        except OSError as error:
            say(f"warning: {path} is flagged but cannot be copied: {error.strerror}")
            return
        with source:
            self._write(Path(path).name, source)

    def add_pixels(self, name: str, pixels: Tensor) -> None:
        """Write an image (C, H, W) uint8 as PNG.

        Raises:
            OutputError: if the folder does not take it.
        """
        self._write(f"{name}.png", png(pixels))

    def _write(self, name: str, contents: BinaryIO | bytes) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._new_file(name) as target:
                if isinstance(contents, bytes):
                    target.write(contents)
                else:
                    shutil.copyfileobj(contents, target)
        except OSError as error:
            raise OutputError(
                f"flagged pictures cannot be copied to {self.folder}: {error.strerror}"
            ) from error
        self.count += 1

    def _new_file(self, name: str) -> BinaryIO:
        """Open a file that was not there, under the name or the next number that is free."""
        stem, suffix = Path(name).stem, Path(name).suffix
        while True:
            number = self.taken[name]
            self.taken[name] += 1
            numbered = f"{stem}-{number}{suffix}" if number else name
            try:
                return (self.folder / numbered).open("xb")
            except FileExistsError:
                continue

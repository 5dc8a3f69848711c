"""Watches what a reader does: whatever a reader of files has no need of is an event to report."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FORBIDDEN = (
    *("exec", "compile", "code.__new__", "marshal.loads", "pickle.find_class", "import"),
    *("subprocess.Popen", "pty.spawn", "webbrowser.open", "cpython.run_command"),
    *("socket.", "ctypes.", "shutil.", "urllib.", "ftplib.", "smtplib.", "tempfile.", "sqlite3."),
    *("os.system", "os.exec", "os.fork", "os.spawn", "os.posix_spawn", "os.startfile", "os.kill"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.utime", "os.putenv", "os.chdir"),
)
# Modules that readers import when they first need them.
NEEDED = ("backaudit.", "numpy", "onnx", "encodings", "google", "ml_dtypes", "unicodedata")


class Guard:
    """Collects forbidden events while it is on; one for the whole process, for hooks stay."""

    def __init__(self) -> None:
        self.on = False
        self.folder = ""
        self.events: list[str] = []
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            self._opened(*arguments)
        elif event.startswith(FORBIDDEN) and not self._needed(event, arguments):
            self.events.append(f"{event} {str(arguments)[:200]}")

    def _needed(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "import" and str(arguments[0]).startswith(NEEDED):
            return True
        # An import that is allowed runs the module; one that is not was reported already.
        if event in ("exec", "compile", "marshal.loads", "code.__new__"):
            return _within("importlib._bootstrap") or (event == "compile" and _within("/ast.py"))
        return False

    def _opened(self, path: object, mode: object, flags: object) -> None:
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        place = str(path)
        # A descriptor was heard of when it was opened; Python's parser looks for a faulty line.
        if isinstance(path, int) or place == "<unknown>":
            return
        inside = place.startswith((self.folder, sys.prefix, sys.base_prefix))
        if not inside and not _within("importlib._bootstrap"):
            self.events.append(f"open {place}")
        elif isinstance(flags, int) and flags & writes:
            self.events.append(f"open for writing {place} {mode}")

    @contextmanager
    def watching(self, folder: Path) -> Iterator[list[str]]:
        """Collect the events of a block; files may be read from one folder only."""
        self.folder, self.events, self.on = str(folder), [], True
        try:
            yield self.events
        finally:
            self.on = False


def _within(file: str) -> bool:
    frame: Any = sys._getframe()
    while frame is not None:
        if file in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False

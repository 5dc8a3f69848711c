"""What an interrupted run leaves: a folder of files beside the output, each written whole."""

import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from backaudit.core.errors import CheckpointError, OutputError
from backaudit.core.printable import printable
from backaudit.core.writing import write_whole
from backaudit.files.opened import OpenedFile
from backaudit.loading.weights.weights_only import UnreadableByTorchError, load_weights_only
from backaudit.nets.stages import State

KEY = "run.json"
LARGEST = 1 << 40


@contextmanager
def told_to_resume() -> Iterator[None]:
    """Say of what the system does not let be written that nothing is lost by it.

    Raises:
        OutputError: that of the block, with what to do.
    """
    try:
        yield
    except OutputError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise OutputError(
            f"{error}. What was computed before is kept: once it can be written, the same command "
            "with --resume goes on"
        ) from error


@dataclass(frozen=True)
class StageFiles:
    """States in a folder, one file each; read as any stranger's file, without running it.

    Args:
        folder: is made when the first state is left.
        key: what the states belong to, JSON-ready: another suspect, other images or settings would
            go on from states that are none of theirs.
    """

    folder: Path
    key: Mapping[str, Any]

    def left(self, stage: str) -> State | None:
        """What an earlier run left of a stage; None if it left nothing.

        Raises:
            OutputError: if it cannot be read.
        """
        file = self._file(stage)
        if not file.exists():
            return None
        try:
            found = load_weights_only(OpenedFile(file, LARGEST), mapped=False)
        except (CheckpointError, UnreadableByTorchError) as error:
            raise OutputError(f"{file} cannot be read: remove {self.folder}") from error
        if not isinstance(found, dict):
            raise OutputError(f"{file} holds no state: remove {self.folder}")
        return found

    def leave(self, stage: str, state: State) -> None:
        """Replace what is left of a stage, whole or not at all.

        Raises:
            OutputError: if it cannot be written.
        """
        self.open()
        stream = io.BytesIO()
        torch.save(dict(state), stream)
        with told_to_resume():
            write_whole(self._file(stage), stream.getvalue())

    def open(self) -> None:
        """Make the folder, and write down what it belongs to.

        Raises:
            OutputError: if it cannot be made.
        """
        if (self.folder / KEY).exists():
            return
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be made: {error.strerror}") from error
        write_whole(self.folder / KEY, json.dumps(self.key, indent=1).encode())

    def require(self, *, resume: bool) -> None:
        """Make sure that what is left is this run's, and that going on with it is meant.

        Raises:
            OutputError: if it is not.
        """
        if not self.folder.exists():
            return
        if not resume:
            raise OutputError(
                f"{self.folder} holds what an interrupted run left: add --resume to go on with it, "
                "or remove that folder"
            )
        other = [name for name, value in self._found().items() if value != self.key.get(name)]
        if other:
            raise OutputError(
                f"{self.folder} holds what a run with another {printable(', '.join(other), 200)} "
                "left, and cannot be gone on with: remove that folder, or give what that run had"
            )

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / KEY).read_text("utf-8"))
        except FileNotFoundError:
            # Interrupted before it was written: nothing else is there then.
            return {}
        except (OSError, ValueError) as error:
            raise OutputError(f"{self.folder / KEY} cannot be read: remove the folder") from error
        missing = dict.fromkeys(self.key)
        return missing | found if isinstance(found, dict) else missing

    def _file(self, stage: str) -> Path:
        return self.folder / f"{re.sub(r'[^a-zA-Z0-9.-]', '_', stage)}.state"

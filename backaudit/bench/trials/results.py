"""Results on disk: one JSON file a trial, written once, found again instead of computed again."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backaudit.core.errors import SettingError
from backaudit.core.writing import write_whole
from backaudit.reports.plain import dumped, finite

Record = dict[str, Any]
RESULTS = "*.seed*.json"


@dataclass(frozen=True)
class Key:
    """Which trial a result is of.

    Args:
        model: name of the model.
        method: name of what was tried on it.
        seed: of the trial.
        identity: all else that the result depends on, as plain JSON: the digests of what was read,
            the settings, the calibration and the version of the program.
    """

    model: str
    method: str
    seed: int
    identity: Mapping[str, Any]

    def find(self, folder: Path) -> Record | None:
        """The result of this very trial, or None."""
        for path in self._paths(folder):
            record = _read(path)
            if record is not None and record["identity"] == self.identity:
                return record
        return None

    def write(self, folder: Path, record: Mapping[str, Any]) -> Record:
        """Write the result; a file of the same model with another identity is left as it is.

        Returns:
            The result as plain JSON, with what it is of.
        """
        of = {"model": self.model, "method": self.method, "seed": self.seed}
        whole: Record = finite({**of, "identity": self.identity, **record})
        plain, particular = self._paths(folder)
        taken = _read(plain)
        path = particular if taken and taken["identity"] != self.identity else plain
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, dumped(whole).encode())
        return whole

    def _paths(self, folder: Path) -> tuple[Path, Path]:
        """The usual name, and the one for when another identity has taken it."""
        text = json.dumps(self.identity, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        stem = f"{self.model}.{self.method}.seed{self.seed}"
        return folder / f"{stem}.json", folder / f"{stem}.{digest}.json"


def read_results(folder: Path) -> Iterator[Record]:
    """Every result in a folder, by the name of its file."""
    for path in sorted(folder.glob(RESULTS)):
        record = _read(path)
        if record is not None:
            yield record


def _read(path: Path) -> Record | None:
    try:
        record = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise SettingError(f"{path} cannot be read as a result ({error}); remove it") from error
    if not (isinstance(record, dict) and "identity" in record):
        raise SettingError(f"{path} is no result of a benchmark; write the results elsewhere")
    return record

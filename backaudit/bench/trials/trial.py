"""One trial: one model, one method, one seed, whatever the method does, into one result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from backaudit.bench.trials.auditor import hand_over
from backaudit.bench.trials.results import Key, Record
from backaudit.bench.trials.selection import Subject
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import BackauditError
from backaudit.core.evidence import Failed
from backaudit.core.suspect import Suspect
from backaudit.loading.load import LoadOptions
from backaudit.reports.json import clean_set_record
from backaudit.reports.plain import versions

Loaded = tuple[Suspect, CleanSet] | Failed


def find_or_make(key: Key, folder: Path, make: Callable[[], Mapping[str, Any]]) -> Record:
    """The result of a trial, made and written if there is none yet; a crash is tried again.

    Args:
        key: which trial.
        folder: of the results.
        make: makes the trial; returns what its result says beyond what it is of.
    """
    found = key.find(folder)
    if found is None or found["outcome"]["kind"] == "failed":
        return key.write(folder, make())
    return found


@dataclass(frozen=True)
class Opened:
    """A subject as its auditor has it: loaded when it is first asked for, and once.

    Args:
        subject: the model and its clean images.
        options: how to load.
    """

    subject: Subject
    options: LoadOptions

    @cached_property
    def loaded(self) -> Loaded:
        """The suspect and its clean set, or why there are none."""
        try:
            return hand_over(self.subject.checkpoint, self.subject.clean, self.options)
        except BackauditError as error:
            return Failed(f"{type(error).__name__}: {error}")

    def record(self, outcome: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """What a result says beyond what it is of; the truth stands apart from what was found.

        Args:
            outcome: what the method came to; its ``kind`` is ``failed`` if it crashed, and
                ``not-applicable`` if it does not fit the model.
            seconds: what it took, without loading.
        """
        return self._found() | {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "outcome": outcome,
            "truth": self.subject.truth(),
            "threads": torch.get_num_threads(),
            "versions": versions(),
        }

    def _found(self) -> dict[str, Any]:
        if isinstance(self.loaded, Failed):
            return {"architecture": None, "clean_set": None}
        suspect, clean = self.loaded
        source = f"test part of {self.subject.truth()['dataset']}"
        given = clean_set_record(suspect, clean) | {"source": source, "accuracy": clean.accuracy}
        return {
            "architecture": suspect.architecture,
            "clean_set": given,
            "device": str(suspect.device),
        }

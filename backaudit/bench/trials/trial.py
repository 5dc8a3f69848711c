"""One trial: one model, one method, one seed, whatever the method does, into one result."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from backaudit.bench.trials.auditor import hand_over
from backaudit.bench.trials.results import Key, Record
from backaudit.bench.trials.selection import Subject
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError, SettingError, SuspectModifiedError
from backaudit.core.evidence import Failed
from backaudit.core.suspect import Suspect
from backaudit.loading.load import LoadOptions
from backaudit.nets.folding import folded
from backaudit.reports.json import clean_set_record
from backaudit.reports.plain import versions

log = logging.getLogger(__name__)

Loaded = tuple[Suspect, CleanSet] | Failed
Outcome = Mapping[str, Any]
"""What a method came to: its ``kind`` is ``failed`` if it crashed, and ``not-applicable`` if it
does not fit the model."""


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
            return self._handed_over()
        except Exception as error:
            # One model that cannot be read must not keep the others from their turn.
            log.debug("%s was not loaded", self.subject.checkpoint, exc_info=True)
            return Failed(f"{type(error).__name__}: {error}")

    def _handed_over(self) -> tuple[Suspect, CleanSet]:
        suspect, clean = hand_over(self.subject.checkpoint, self.subject.clean, self.options)
        if self.subject.folded:
            suspect = replace(suspect, network=folded(suspect.network))
        return suspect, clean

    def attempt(
        self, method: str, make: Callable[[Suspect, CleanSet], tuple[Outcome, float]]
    ) -> dict[str, Any]:
        """Make a trial of a method that may crash; returns what ``record`` returns.

        Args:
            method: its name.
            make: makes the trial; returns the outcome and the seconds that count.

        Raises:
            SuspectModifiedError: if the method changed the suspect, which spoils later trials.
            SettingError: if a setting makes no sense, whatever the model.
        """
        if isinstance(self.loaded, Failed):
            return self.record({"kind": "failed", "error": self.loaded.error}, 0.0)
        start = time.perf_counter()
        try:
            return self.record(*make(*self.loaded))
        except NotApplicableError as error:
            outcome = {"kind": "not-applicable", "reason": str(error)}
        except (SuspectModifiedError, SettingError):
            raise
        except Exception as error:
            # One method's crash must not keep the others from their turn.
            log.debug("%s crashed", method, exc_info=True)
            outcome = {"kind": "failed", "error": f"{type(error).__name__}: {error}"}
        return self.record(outcome, time.perf_counter() - start)

    def record(self, outcome: Outcome, seconds: float) -> dict[str, Any]:
        """What a result says beyond what it is of; the truth stands apart from what was found.

        Args:
            outcome: what the method came to.
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

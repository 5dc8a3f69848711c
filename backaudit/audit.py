"""Scan a suspect: run each detector, judge what they found. Read this file first."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError, SuspectModifiedError
from backaudit.core.evidence import Failed, NotApplicable, Outcome, Run
from backaudit.core.seeding import seeded
from backaudit.core.suspect import Suspect
from backaudit.core.verdict import Audit, judge
from backaudit.detectors.interface import Detector
from backaudit.nets.guard import untouched

log = logging.getLogger(__name__)


def scan(
    suspect: Suspect, clean: CleanSet, detectors: Sequence[Detector], *, seed: int = 0
) -> Audit:
    """Run every detector on the suspect and judge what they found."""
    runs = tuple(run_detector(detector, suspect, clean, seed=seed) for detector in detectors)
    return Audit(suspect, clean, seed, runs, judge(runs))


def run_detector(detector: Detector, suspect: Suspect, clean: CleanSet, *, seed: int) -> Run:
    """Run one detector: seeded, timed, the suspect guarded, a crash kept as an outcome.

    Raises:
        SuspectModifiedError: if the detector changed the suspect.
    """
    log.info("running %s", detector.rule.name)
    start = time.perf_counter()
    outcome = _outcome(detector, suspect, clean, seed)
    settings: dict[str, Any] = asdict(detector)  # type: ignore[call-overload]
    return Run(detector.rule, settings, seed, time.perf_counter() - start, outcome)


def _outcome(detector: Detector, suspect: Suspect, clean: CleanSet, seed: int) -> Outcome:
    try:
        with untouched(suspect.network), seeded(seed):
            return detector.detect(suspect, clean)
    except NotApplicableError as error:
        return NotApplicable(str(error))
    except SuspectModifiedError:
        raise
    except Exception as error:
        # One detector's crash must not hide what another found; judge() never takes it as a pass.
        log.debug("%s crashed", detector.rule.name, exc_info=True)
        return Failed(f"{type(error).__name__}: {error}")

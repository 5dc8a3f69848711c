"""One model, one detector, one seed: one result, from the same ``load`` and run that users get."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from backaudit.audit import run_detector
from backaudit.bench.auditor import hand_over
from backaudit.bench.results import Key, Record
from backaudit.bench.selection import Subject
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import BackauditError
from backaudit.core.evidence import Evidence, Failed, NotApplicable, Outcome, Run
from backaudit.core.suspect import Suspect
from backaudit.core.verdict import MODEL_LEVEL, judge
from backaudit.detectors import DETECTORS
from backaudit.detectors.interface import Detector
from backaudit.loading.load import LoadOptions
from backaudit.reports.json import clean_set_record, outcome_record
from backaudit.reports.plain import versions

SCAN = "scan"
"""The verdict over a model's readings, as if it were a method of its own."""

Loaded = tuple[Suspect, CleanSet] | Failed


def detect(
    subject: Subject, detectors: Sequence[Detector], folder: Path, options: LoadOptions
) -> Iterator[Record]:
    """Run each detector that has no result yet, and judge them all; a crash is tried again.

    Each result is written as soon as it is there, and yielded.
    """
    loaded: Loaded | None = None
    results = []
    for detector in detectors:
        key = _key(subject, detector)
        result = key.find(folder)
        if result is None or result["outcome"]["kind"] == "failed":
            loaded = loaded or _load(subject, options)
            result = key.write(folder, _tried(subject, detector, loaded))
        results.append(result)
        yield result
    if is_whole_scan(detectors):
        key = _scan_key(subject, detectors)
        yield key.write(folder, _judged(subject, detectors, results))


def find_results(
    subject: Subject, detectors: Sequence[Detector], folder: Path
) -> list[Record | None]:
    """The results that ``detect`` would yield, as far as they are there."""
    keys = [_key(subject, detector) for detector in detectors]
    if is_whole_scan(detectors):
        keys.append(_scan_key(subject, detectors))
    return [key.find(folder) for key in keys]


def is_whole_scan(detectors: Sequence[Detector]) -> bool:
    """Whether a verdict over these detectors is the one that a user's scan ends with."""
    wanted = {name for name, method in DETECTORS.items() if method.rule.id.startswith(MODEL_LEVEL)}
    return wanted <= {detector.rule.name for detector in detectors}


def _settings(detector: Detector) -> dict[str, Any]:
    settings: dict[str, Any] = asdict(detector)  # type: ignore[call-overload]
    return settings


def _key(subject: Subject, detector: Detector) -> Key:
    return subject.key(detector.rule.name, _settings(detector))


def _scan_key(subject: Subject, detectors: Sequence[Detector]) -> Key:
    return subject.key(SCAN, {each.rule.name: _settings(each) for each in detectors})


def _load(subject: Subject, options: LoadOptions) -> Loaded:
    try:
        return hand_over(subject.checkpoint, subject.clean, options)
    except BackauditError as error:
        return Failed(f"{type(error).__name__}: {error}")


def _tried(subject: Subject, detector: Detector, loaded: Loaded) -> dict[str, Any]:
    """What a result says beyond what it is of; the truth stands apart from what was found."""
    if isinstance(loaded, Failed):
        run = Run(detector.rule, _settings(detector), subject.seed, 0.0, loaded)
        found: dict[str, Any] = {"architecture": None, "clean_set": None}
    else:
        run = run_detector(detector, *loaded, seed=subject.seed)
        suspect, clean = loaded
        source = f"test part of {subject.truth()['dataset']}"
        found = {
            "architecture": suspect.architecture,
            "clean_set": clean_set_record(suspect, clean)
            | {"source": source, "accuracy": clean.accuracy},
            "device": str(suspect.device),
        }
    return found | {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(run.seconds, 3),
        "outcome": _outcome(run.outcome),
        "truth": subject.truth(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    record = outcome_record(outcome)
    if isinstance(outcome, Evidence):
        record |= {"leans": outcome.leans, "decides": outcome.decides}
    return record


def _judged(
    subject: Subject, detectors: Sequence[Detector], results: Sequence[Record]
) -> dict[str, Any]:
    """The verdict, from the results as they were written: some may be of an earlier day."""
    pairs = zip(detectors, results, strict=True)
    judgement = judge([_run(detector, result) for detector, result in pairs])
    return {
        "seconds": round(sum(result["seconds"] for result in results), 3),
        "outcome": {"kind": "verdict"} | asdict(judgement),
        "truth": subject.truth(),
    }


def _run(detector: Detector, result: Record) -> Run:
    outcome = _as_outcome(result["outcome"])
    return Run(detector.rule, _settings(detector), result["seed"], result["seconds"], outcome)


def _as_outcome(record: Record) -> Outcome:
    """Turn what ``outcome_record`` wrote back into what it was."""
    if record["kind"] == "not-applicable":
        return NotApplicable(record["reason"])
    if record["kind"] == "failed":
        return Failed(record["error"])
    # JSON lacks infinity and not-a-number; only the first of them can fire.
    unwritten = math.inf if record["fires"] else math.nan
    return Evidence(
        score=unwritten if record["score"] is None else record["score"],
        threshold=record["threshold"],
        strong=record["strong_threshold"],
        lean=record["supporting_threshold"],
        target_classes=tuple(record["target_classes"]),
        experimental=record["experimental"],
    )

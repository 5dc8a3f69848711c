"""Detectors on a model whose truth is known, by the same ``load`` and run that users get."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from backaudit.audit import run_detector
from backaudit.bench.trials.results import Key, Record
from backaudit.bench.trials.selection import Subject
from backaudit.bench.trials.trial import Opened, find_or_make
from backaudit.core.evidence import Evidence, Failed, NotApplicable, Outcome, Run
from backaudit.core.verdict import MODEL_LEVEL, judge
from backaudit.detectors import DETECTORS
from backaudit.detectors.calibration import calibrations_of
from backaudit.detectors.interface import Detector
from backaudit.loading.load import LoadOptions
from backaudit.reports.json import outcome_record

SCAN = "scan"
"""The verdict over a model's readings, as if it were a method of its own."""


def detect(
    subject: Subject, detectors: Sequence[Detector], folder: Path, options: LoadOptions
) -> Iterator[Record]:
    """Run each detector that has no result yet, and judge them all; a crash is tried again.

    Each result is written as soon as it is there, and yielded.
    """
    opened = Opened(subject, options)
    results = []
    for detector in detectors:
        result = find_or_make(_key(subject, detector), folder, partial(_tried, opened, detector))
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
    name = detector.rule.name
    return subject.key(name, _settings(detector), calibrations_of(name))


def _scan_key(subject: Subject, detectors: Sequence[Detector]) -> Key:
    names = [each.rule.name for each in detectors]
    settings = {name: _settings(each) for name, each in zip(names, detectors, strict=True)}
    return subject.key(SCAN, settings, {name: calibrations_of(name) for name in names})


def _tried(opened: Opened, detector: Detector) -> dict[str, Any]:
    if isinstance(opened.loaded, Failed):
        return opened.record(_outcome(opened.loaded), 0.0)
    run = run_detector(detector, *opened.loaded, seed=opened.subject.seed)
    return opened.record(_outcome(run.outcome), run.seconds)


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

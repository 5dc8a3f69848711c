"""backaudit bench: methods on models whose truth is known, into tables."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from backaudit.bench.auditor import CleanSample
from backaudit.bench.datasets import Datasets, data_files
from backaudit.bench.manifest import Card
from backaudit.bench.results import Record
from backaudit.bench.selection import LeftOut, Subject, choose_models, subjects
from backaudit.bench.tables import summarise
from backaudit.bench.trial import detect as detect_one
from backaudit.bench.trial import find_results
from backaudit.cli.bench_options import BenchDetectOptions
from backaudit.cli.device import choose_device
from backaudit.cli.exits import ExitCode
from backaudit.cli.messages import say, standard_error
from backaudit.cli.methods import chosen_detectors
from backaudit.cli.outputs import print_page
from backaudit.cli.progress import progress_shown
from backaudit.cli.sharding import shard
from backaudit.core.errors import OutputError, SettingError
from backaudit.core.printable import counted
from backaudit.core.progress import track, under
from backaudit.core.settings import parse_value
from backaudit.core.verdict import MODEL_LEVEL
from backaudit.detectors import DETECTORS
from backaudit.detectors.interface import Detector
from backaudit.loading.load import LoadOptions


def detect(options: BenchDetectOptions) -> ExitCode:
    """Run detectors over a zoo and print the tables."""
    detectors = _model_level(options.detectors, options.settings or ())
    seeds = _seeds(options.seeds)
    sample = CleanSample(options.images, not options.unlabelled, options.imbalanced)
    datasets = Datasets(data_files(options.data or ()), signs_per_class=1)
    cards, left_out = _models(options.zoo, datasets)
    folder = options.output or options.zoo / "results"
    _make(folder)
    trials = partial(detect_one, detectors=detectors, folder=folder, options=_load_options(options))

    def chosen(cards: Sequence[Card]) -> list[Subject]:
        return list(subjects(options.zoo, cards, datasets, sample, seeds))

    with progress_shown(standard_error(), "benchmark", quiet=options.quiet):
        work(chosen(shard(cards, options.shard)), trials, options.max_seconds)
        found = [find_results(each, detectors, folder) for each in chosen(cards)]
    conditions = {
        "clean_images": asdict(sample),
        "seeds": seeds,
        "settings": {each.rule.name: asdict(each) for each in detectors},  # type: ignore[call-overload]
    }
    return _report(found, detectors, left_out, conditions, folder, quiet=options.quiet)


def work(
    subjects: Sequence[Subject],
    trials: Callable[[Subject], Iterator[Record]],
    max_seconds: float | None,
) -> None:
    """Make the trials of each subject, until all are made or the time is up.

    Args:
        subjects: what to try on.
        trials: makes the trials of a subject that have no result yet, one a step.
        max_seconds: no trial is started later than this; None for no limit.
    """
    start = time.monotonic()
    for subject in track(subjects, "models"):
        with under(subject.card["recipe"]["name"]):
            for _ in trials(subject):
                if max_seconds is not None and time.monotonic() - start > max_seconds:
                    return


def _report(
    found: Iterable[Sequence[Record | None]],
    detectors: Sequence[Detector],
    left_out: Sequence[LeftOut],
    conditions: dict[str, Any],
    folder: Path,
    *,
    quiet: bool,
) -> ExitCode:
    every = [result for results in found for result in results]
    results = [result for result in every if result is not None]
    missing = len(every) - len(results)
    if missing and not quiet:
        say(f"{counted(missing, 'result')} of {len(every)} missing; the same command goes on")
    if not results:
        say(f"there is no result in {folder} yet, and so no table")
        return ExitCode.NOT_AUDITED
    names = [detector.rule.name for detector in detectors]
    summary = summarise(results, names, left_out, conditions | {"missing": missing})
    print_page(summary)
    for path in summary.write(folder):
        if not quiet:
            say(f"wrote {path}")
    return ExitCode.NO_EVIDENCE


def _model_level(names: str | None, settings: Sequence[str]) -> tuple[Detector, ...]:
    """The chosen detectors, all of which judge a model."""
    every = [name for name, each in DETECTORS.items() if each.rule.id.startswith(MODEL_LEVEL)]
    chosen = chosen_detectors(",".join(every) if names is None else names, settings)
    for detector in chosen:
        if detector.rule.name not in every:
            raise SettingError(f"--detectors {detector.rule.name}: it judges images, not models")
    return chosen


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} is no folder that results can be put in: {error.strerror}"
        ) from error


def _seeds(text: str) -> tuple[int, ...]:
    seeds: tuple[int, ...] = parse_value("--seeds", text, tuple[int, ...])
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise SettingError(f"--seeds {text}: give different numbers from 0, as 0,1,2")
    return seeds


def _models(zoo: Path, datasets: Datasets) -> tuple[tuple[Card, ...], tuple[LeftOut, ...]]:
    cards, left_out = choose_models(zoo, datasets)
    if not cards:
        reasons = "; ".join(sorted({each.reason for each in left_out}))
        raise SettingError(f"no model of {zoo} can be used: {reasons}")
    return cards, left_out


def _load_options(options: BenchDetectOptions) -> LoadOptions:
    device, warning = choose_device(options.device)
    if warning and not options.quiet:
        say(warning)
    if options.threads:
        torch.set_num_threads(options.threads)
    return LoadOptions(device=device)

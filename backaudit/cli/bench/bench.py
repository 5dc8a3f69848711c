"""What the commands of ``backaudit bench`` share: the models, the trials on them, the tables."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from backaudit.bench.data.datasets import Datasets, data_files
from backaudit.bench.tables.summary import Summary
from backaudit.bench.trials.auditor import CleanSample
from backaudit.bench.trials.results import Record
from backaudit.bench.trials.selection import LeftOut, Subject, choose_models, subjects
from backaudit.bench.zoo.manifest import Card
from backaudit.cli.bench.options import BenchOptions
from backaudit.cli.device import choose_device
from backaudit.cli.exits import ExitCode
from backaudit.cli.messages import say, standard_error
from backaudit.cli.outputs import print_page
from backaudit.cli.patterns import matches
from backaudit.cli.progress import progress_shown
from backaudit.cli.sharding import shard
from backaudit.core.errors import OutputError, SettingError
from backaudit.core.printable import counted
from backaudit.core.progress import track, under
from backaudit.core.settings import parse_value
from backaudit.loading.load import LoadOptions

Trials = Callable[[Subject], Iterator[Record]]
"""Makes the trials of a subject that have no result yet, one a step."""
Find = Callable[[Subject], Sequence[Record | None]]
"""The results of those trials, as far as they are there."""


@dataclass(frozen=True)
class Bench:
    """The models of a zoo that can be tried, and the folder of the results.

    Args:
        options: of the command.
        datasets: what clean images are drawn from.
        sample: how they are drawn.
        seeds: of the clean images and of the methods.
        cards: of the models.
        left_out: the models that cannot be tried.
        folder: of the results.
        folded: whether auditors get the models with batch norm folded into the convolutions.
    """

    options: BenchOptions
    datasets: Datasets
    sample: CleanSample
    seeds: tuple[int, ...]
    cards: tuple[Card, ...]
    left_out: tuple[LeftOut, ...]
    folder: Path
    folded: bool = False

    @staticmethod
    def of(options: BenchOptions, *, folded: bool = False) -> "Bench":
        """Choose the models, and make the folder.

        Raises:
            SettingError: if an option makes no sense, or no model can be tried.
            OutputError: if the folder cannot be made.
        """
        seeds = _seeds(options.seeds)
        sample = CleanSample(options.images, not options.unlabelled, options.imbalanced)
        # Trials draw from the test part alone.
        datasets = Datasets(data_files(options.data or ()), signs_per_class=1)
        cards, left_out = _models(options.zoo, datasets, options.only or ())
        folder = options.output or options.zoo / "results"
        _make(folder)
        return Bench(options, datasets, sample, seeds, cards, left_out, folder, folded)

    def load_options(self) -> LoadOptions:
        """How the models are loaded; sets the number of threads, too.

        Raises:
            SettingError: if the device cannot be used.
        """
        device, warning = choose_device(self.options.device)
        if warning and not self.options.quiet:
            say(warning)
        if self.options.threads:
            torch.set_num_threads(self.options.threads)
        return LoadOptions(device=device)

    def results(self, trials: Trials, find: Find) -> list[Record | None]:
        """Make the trials of this process's share; return the results of all.

        Returns:
            One a trial; None where it was not made yet.
        """
        with progress_shown(standard_error(), "benchmark", quiet=self.options.quiet):
            own = self._subjects(shard(self.cards, self.options.shard))
            work(own, trials, self.options.max_seconds)
            return [result for each in self._subjects(self.cards) for result in find(each)]

    def report(
        self, every: Sequence[Record | None], summarise: Callable[[list[Record], int], Summary]
    ) -> ExitCode:
        """Print the tables, and write them.

        Args:
            every: result of each trial; None where it was not made yet.
            summarise: makes the tables of the results that are there; told how many are missing.
        """
        results = [result for result in every if result is not None]
        missing = len(every) - len(results)
        if missing and not self.options.quiet:
            say(f"{counted(missing, 'result')} of {len(every)} missing; the same command goes on")
        if not results:
            say(f"there is no result in {self.folder} yet, and so no table")
            return ExitCode.NOT_AUDITED
        summary = summarise(results, missing)
        print_page(summary)
        for path in summary.write(self.folder):
            if not self.options.quiet:
                say(f"wrote {path}")
        return ExitCode.NO_EVIDENCE

    def conditions(self, settings: dict[str, Any], missing: int) -> dict[str, Any]:
        """Under which the results were made, for the record.

        Args:
            settings: of the methods, by name.
            missing: results that were not made yet.
        """
        sample = asdict(self.sample)
        of = {"clean_images": sample, "seeds": self.seeds, "settings": settings}
        if self.folded:
            of["batch_norm"] = "folded"
        return of | {"missing": missing}

    def _subjects(self, cards: Sequence[Card]) -> list[Subject]:
        zoo, folded = self.options.zoo, self.folded
        return list(subjects(zoo, cards, self.datasets, self.sample, self.seeds, folded=folded))


def work(subjects: Sequence[Subject], trials: Trials, max_seconds: float | None) -> None:
    """Make the trials of each subject, until all are made or the time is up.

    Args:
        subjects: what to try on.
        trials: makes the trials of a subject.
        max_seconds: no trial is started later than this; None for no limit.
    """
    start = time.monotonic()
    for subject in track(subjects, "models"):
        with under(subject.card["recipe"]["name"]):
            for _ in trials(subject):
                if max_seconds is not None and time.monotonic() - start > max_seconds:
                    return


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


def _models(
    zoo: Path, datasets: Datasets, patterns: Sequence[str]
) -> tuple[tuple[Card, ...], tuple[LeftOut, ...]]:
    cards, left_out = choose_models(zoo, datasets)
    chosen = tuple(card for card in cards if matches(card["recipe"]["name"], patterns))
    without = tuple(each for each in left_out if matches(each.card["recipe"]["name"], patterns))
    if not (chosen or without):
        known = min(card["recipe"]["name"] for card in cards or [e.card for e in left_out])
        raise SettingError(
            f"--only {' '.join(patterns)}: no model of {zoo} has such a name, the first of which "
            f"is {known}"
        )
    if not chosen:
        reasons = "; ".join(sorted({each.reason for each in without}))
        raise SettingError(f"no model of {zoo} can be used: {reasons}")
    return chosen, without

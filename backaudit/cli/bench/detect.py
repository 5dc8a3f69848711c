"""backaudit bench detect: detectors on models whose truth is known, into tables."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from backaudit.bench.detection.tables import summarise
from backaudit.bench.detection.trials import detect, find_results
from backaudit.bench.tables.summary import Summary
from backaudit.bench.trials.results import Record
from backaudit.bench.trials.selection import Subject
from backaudit.cli.bench.bench import Bench
from backaudit.cli.bench.options import BenchDetectOptions
from backaudit.cli.exits import ExitCode
from backaudit.cli.methods import chosen_detectors
from backaudit.core.errors import SettingError
from backaudit.core.verdict import MODEL_LEVEL
from backaudit.detectors import DETECTORS
from backaudit.detectors.interface import Detector


def run(options: BenchDetectOptions) -> ExitCode:
    """Run detectors over a zoo and print the tables."""
    detectors = _model_level(options.detectors, options.settings or ())
    bench = Bench.of(options, folded=options.fold_batch_norm)
    load_options = bench.load_options()

    def trials(subject: Subject) -> Iterator[Record]:
        return detect(subject, detectors, bench.folder, load_options)

    def find(subject: Subject) -> list[Record | None]:
        return find_results(subject, detectors, bench.folder)

    def tables(results: list[Record], missing: int) -> Summary:
        names = [detector.rule.name for detector in detectors]
        settings = {each.rule.name: asdict(each) for each in detectors}  # type: ignore[call-overload]
        return summarise(results, names, bench.left_out, bench.conditions(settings, missing))

    return bench.report(bench.results(trials, find), tables)


def _model_level(names: str | None, settings: Sequence[str]) -> tuple[Detector, ...]:
    """The chosen detectors, all of which judge a model."""
    every = [name for name, each in DETECTORS.items() if each.rule.id.startswith(MODEL_LEVEL)]
    chosen = chosen_detectors(",".join(every) if names is None else names, settings)
    for detector in chosen:
        if detector.rule.name not in every:
            raise SettingError(f"--detectors {detector.rule.name}: it judges images, not models")
    return chosen

"""backaudit bench purify: purifiers on models whose truth is known, into tables."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.purification.methods import Automatic, Method, Single
from backaudit.bench.purification.tables import summarise
from backaudit.bench.purification.trials import Plan, find_results, purify_subject
from backaudit.bench.tables.summary import Summary
from backaudit.bench.trials.results import Record
from backaudit.bench.trials.selection import Subject
from backaudit.cli.bench.bench import Bench
from backaudit.cli.bench.options import BenchPurifyOptions
from backaudit.cli.exits import ExitCode
from backaudit.cli.purify.methods import named_purifier, with_settings
from backaudit.core.settings import split_names
from backaudit.purification.choosing import AUTO, AUTOMATIC
from backaudit.purifiers import PURIFIERS

METHODS = "--methods"


def run(options: BenchPurifyOptions) -> ExitCode:
    """Run purifiers over a zoo and print the tables."""
    methods = chosen_methods(options.methods, options.settings or ())
    bench = Bench.of(options)
    # Every image that is handed over is used, as a user asks for with --max-images.
    load_options = replace(bench.load_options(), max_images=None)
    plan = Plan(methods, bench.sample, options.test_images)

    def data_of(subject: Subject) -> Dataset:
        return bench.datasets[subject.truth()["dataset"]]

    def trials(subject: Subject) -> Iterator[Record]:
        return purify_subject(subject, data_of(subject), plan, bench.folder, load_options)

    def find(subject: Subject) -> list[Record | None]:
        return find_results(subject, data_of(subject), plan, bench.folder)

    def tables(results: list[Record], missing: int) -> Summary:
        conditions = bench.conditions({each.name: each.settings for each in methods}, missing)
        conditions |= {"test_images": options.test_images}
        return summarise(results, plan, bench.left_out, conditions)

    return bench.report(bench.results(trials, find), tables)


def chosen_methods(text: str | None, settings: Sequence[str]) -> tuple[Method, ...]:
    """Make the named methods in the order in which they are named.

    Args:
        text: names of purifiers and ``auto``, separated by commas; None for every purifier.
        settings: ``method.field=value`` texts.

    Raises:
        SettingError: if a method or a setting is unknown, or a setting's purifier does not run.
    """
    names = tuple(PURIFIERS) if text is None else split_names(text, METHODS, "every purifier")
    wanted = {name: named_purifier(name, METHODS) for name in names if name != AUTO}
    tried = AUTOMATIC if AUTO in names else ()
    made = with_settings((*wanted.values(), *tried), settings, METHODS)
    singles = {name: Single(purifier) for name, purifier in zip(wanted, made, strict=False)}
    automatic = Automatic(made[len(wanted) :])
    return tuple(automatic if name == AUTO else singles[name] for name in names)

"""backaudit bench screen: screeners on models whose truth is known, into tables."""

from collections.abc import Iterator

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.screening.tables import summarise
from backaudit.bench.screening.trials import Plan, find_results, screen_subject, settings_of
from backaudit.bench.tables.summary import Summary
from backaudit.bench.trials.results import Record
from backaudit.bench.trials.selection import Subject
from backaudit.cli.bench.bench import Bench
from backaudit.cli.bench.options import BenchScreenOptions
from backaudit.cli.exits import ExitCode
from backaudit.cli.screeners import chosen_screeners
from backaudit.core.errors import SettingError
from backaudit.screeners import SCREENERS


def run(options: BenchScreenOptions) -> ExitCode:
    """Run screeners over a zoo and print the tables."""
    rate = options.false_flag_rate
    if rate is not None and not 0 < rate < 1:
        raise SettingError(f"--false-flag-rate {rate:g}: give a rate between 0 and 1, as 0.01")
    names = ",".join(SCREENERS) if options.screeners is None else options.screeners
    screeners = chosen_screeners(names, options.settings or (), options.false_flag_rate)
    bench = Bench.of(options)
    load_options = bench.load_options()
    plan = Plan(screeners, bench.sample, options.test_images, rate)

    def data_of(subject: Subject) -> Dataset:
        return bench.datasets[subject.truth()["dataset"]]

    def trials(subject: Subject) -> Iterator[Record]:
        return screen_subject(subject, data_of(subject), plan, bench.folder, load_options)

    def find(subject: Subject) -> list[Record | None]:
        return find_results(subject, data_of(subject), plan, bench.folder)

    def tables(results: list[Record], missing: int) -> Summary:
        settings = {each.rule.name: settings_of(each) for each in screeners}
        conditions = bench.conditions(settings, missing)
        conditions |= {"test_images": options.test_images, "false_flag_rate": rate}
        only = options.only_successful
        return summarise(results, plan, bench.left_out, conditions, only_successful=only)

    return bench.report(bench.results(trials, find), tables)

"""Purifiers on a model whose truth is known, by the same code that users run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.purification.measuring import Answers, answers, comparison
from backaudit.bench.purification.methods import Method
from backaudit.bench.trials.auditor import CleanSample
from backaudit.bench.trials.results import Key, Record
from backaudit.bench.trials.selection import Subject
from backaudit.bench.trials.traffic import Traffic
from backaudit.bench.trials.trial import Opened, find_or_make
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Failed
from backaudit.core.suspect import Suspect
from backaudit.loading.load import LoadOptions


@dataclass(frozen=True)
class Plan:
    """What is tried on every model.

    Args:
        methods: in the order of the columns.
        sample: how the auditor's clean images are drawn.
        test_images: clean ones to measure on, and as many triggered ones; None for all that are
            not handed over.
    """

    methods: tuple[Method, ...]
    sample: CleanSample
    test_images: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the methods."""
        return tuple(each.name for each in self.methods)

    def traffic(self, subject: Subject, data: Dataset) -> Traffic:
        """The images that networks are measured on."""
        return Traffic(subject, data, self.sample, self.test_images)

    def key(self, traffic: Traffic, method: Method) -> Key:
        """Name the trial of a method."""
        settings = {
            "method": method.settings,
            "test_images": {"count": self.test_images, "sha256": traffic.sha256},
        }
        return traffic.subject.key(method.name, settings, method.calibration)


def purify_subject(
    subject: Subject, data: Dataset, plan: Plan, folder: Path, options: LoadOptions
) -> Iterator[Record]:
    """Try each method that has no result yet; a crash is tried again.

    Each result is written as soon as it is there, and yielded.
    """
    desk = _Desk(Opened(subject, options), plan.traffic(subject, data))
    for method in plan.methods:
        yield find_or_make(plan.key(desk.traffic, method), folder, partial(desk.tried, method))


def find_results(subject: Subject, data: Dataset, plan: Plan, folder: Path) -> list[Record | None]:
    """The results that ``purify_subject`` would yield, as far as they are there."""
    traffic = plan.traffic(subject, data)
    return [plan.key(traffic, method).find(folder) for method in plan.methods]


@dataclass(frozen=True)
class _Desk:
    """A model as its auditor has it, and the images that only the benchmark has."""

    opened: Opened
    traffic: Traffic

    def tried(self, method: Method) -> dict[str, Any]:
        """Make one trial."""
        return self.opened.attempt(method.name, partial(self._outcome, method))

    def _outcome(
        self, method: Method, suspect: Suspect, clean: CleanSet
    ) -> tuple[Mapping[str, Any], float]:
        made = method.purify(suspect, clean, self.traffic.subject.seed)
        repaired = replace(suspect, network=made.network)
        found = comparison(self._before, answers(repaired, self.traffic), self.traffic)
        return {"kind": "purified"} | found | dict(made.said), made.seconds

    @cached_property
    def _before(self) -> Answers:
        """Of the untouched suspect; the same for every method."""
        if isinstance(self.opened.loaded, Failed):
            raise NotApplicableError(self.opened.loaded.error)
        return answers(self.opened.loaded[0], self.traffic)

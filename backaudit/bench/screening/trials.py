"""Screeners on a model whose truth is known, by the same calibration and run that users get."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.screening.seen import Seen
from backaudit.bench.screening.timing import LATENCY, THROUGHPUT, cost
from backaudit.bench.trials.auditor import CleanSample
from backaudit.bench.trials.results import Key, Record
from backaudit.bench.trials.selection import Subject
from backaudit.bench.trials.traffic import Shown, Traffic
from backaudit.bench.trials.trial import Opened, find_or_make
from backaudit.core.clean_set import CleanSet
from backaudit.core.screening import Calibration
from backaudit.core.seeding import seeded
from backaudit.core.suspect import Suspect, batch_size
from backaudit.firewall.calibration import calibrate
from backaudit.firewall.flags import FlagTest
from backaudit.firewall.screen import ImageBatch, ImageResult, screen
from backaudit.firewall.screener import FittedScreener
from backaudit.firewall.summary import Summary
from backaudit.loading.load import LoadOptions
from backaudit.nets.guard import untouched
from backaudit.screeners.interface import Screener

Said = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is tried on every model.

    Args:
        screeners: with their settings, in the order of the columns.
        sample: how the auditor's clean images are drawn.
        test_images: clean ones that are screened, and as many triggered ones.
        false_flag_rate: that the thresholds keep to, in (0, 1); None for those of the papers.
    """

    screeners: tuple[Screener, ...]
    sample: CleanSample
    test_images: int = 500
    false_flag_rate: float | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the screeners."""
        return tuple(each.rule.name for each in self.screeners)

    def traffic(self, subject: Subject, data: Dataset) -> Traffic:
        """The images that the model is shown."""
        return Traffic(subject, data, self.sample, self.test_images)

    def key(self, traffic: Traffic, screener: Screener) -> Key:
        """Name the trial of a screener."""
        settings = {
            "screener": settings_of(screener),
            "false_flag_rate": self.false_flag_rate,
            "test_images": {"count": self.test_images, "sha256": traffic.sha256},
        }
        return traffic.subject.key(screener.rule.name, settings)


def settings_of(screener: Screener) -> dict[str, Any]:
    """The settings of a screener by name."""
    settings: dict[str, Any] = asdict(screener)  # type: ignore[call-overload]
    return settings


def screen_subject(
    subject: Subject, data: Dataset, plan: Plan, folder: Path, options: LoadOptions
) -> Iterator[Record]:
    """Try each screener that has no result yet; a crash is tried again.

    Each result is written as soon as it is there, and yielded.

    Raises:
        SettingError: if there are too few clean images for the false-flag rate.
    """
    opened, traffic = Opened(subject, options), plan.traffic(subject, data)
    for screener in plan.screeners:
        make = partial(_tried, opened, traffic, screener, plan.false_flag_rate)
        yield find_or_make(plan.key(traffic, screener), folder, make)


def find_results(subject: Subject, data: Dataset, plan: Plan, folder: Path) -> list[Record | None]:
    """The results that ``screen_subject`` would yield, as far as they are there."""
    traffic = plan.traffic(subject, data)
    return [plan.key(traffic, screener).find(folder) for screener in plan.screeners]


def _tried(
    opened: Opened, traffic: Traffic, screener: Screener, rate: float | None
) -> dict[str, Any]:
    def made(suspect: Suspect, clean: CleanSet) -> tuple[Said, float]:
        start = time.perf_counter()
        with untouched(suspect.network), seeded(traffic.subject.seed):
            calibration = calibrate(screener, suspect, clean, false_flag_rate=rate)
            calibrated = time.perf_counter()
            said = _calibrated(calibration) | _screened(suspect, calibration, traffic)
        seconds = {"calibrating_seconds": round(calibrated - start, 3)}
        return {"kind": "screened"} | seconds | said, time.perf_counter() - start

    return opened.attempt(screener.rule.name, made)


def _calibrated(calibration: Calibration) -> Said:
    return {
        "threshold": calibration.threshold,
        "threshold_source": calibration.threshold_source,
        "false_flag_rate": calibration.false_flag_rate,
        "held_out": len(calibration.clean_scores),
        "fit": calibration.fit,
        "notes": calibration.notes,
    }


def _screened(suspect: Suspect, calibration: Calibration, traffic: Traffic) -> Said:
    screener = FittedScreener.of(suspect, calibration)
    kinds = {"clean": traffic.clean, "triggered": traffic.triggered}
    said: Said = {"how": screener.how, "triggered": None}
    for kind, shown in kinds.items():
        if shown is not None:
            results = list(screen([screener], _batches(shown, suspect)))
            said[kind] = Seen.of(results, shown).record()
            if kind == "clean":
                said["false_flags"] = asdict(_test(calibration, results))
    example = traffic.clean.shaped(suspect.image_shape)
    costs = [cost(suspect, screener, example, batch) for batch in (LATENCY, THROUGHPUT)]
    return said | {"costs": [asdict(each) | {"passes": each.passes} for each in costs]}


def _test(calibration: Calibration, results: list[ImageResult]) -> FlagTest:
    """Flags on new clean images, against what was promised for them."""
    summary = Summary([calibration])
    for result in results:
        summary.add(result)
    return summary.test()


def _batches(shown: Shown, suspect: Suspect) -> Iterator[ImageBatch]:
    images = shown.shaped(suspect.image_shape)
    for part in images.split(batch_size(images)):
        yield ImageBatch(("",) * len(part), part)

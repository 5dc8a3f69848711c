"""What screeners say of images into figures: areas under ROC curves, F1, rates of flags."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

from backaudit.bench.screening.seen import Seen
from backaudit.bench.tables.figures import Interval, auroc_interval, by_model
from backaudit.bench.tables.means import Mean, mean_over
from backaudit.bench.trials.results import Record
from backaudit.core.rates import wilson
from backaudit.nets.metrics import auroc

FIGURES = ("auroc", "f1", "tpr", "fpr")


@dataclass(frozen=True)
class Measured:
    """One trial on a backdoored model, in figures.

    Args:
        auroc: chance that a triggered image scores above a clean one; a tie counts half.
        f1: of the flags.
        tpr: share of the triggered images that is flagged.
        fpr: share of the clean images that is flagged.
        clean: images.
        triggered: images.
    """

    auroc: float
    f1: float
    tpr: float
    fpr: float
    clean: int
    triggered: int


def is_screened(result: Record) -> bool:
    """Whether the trial came to scores."""
    return bool(result["outcome"]["kind"] == "screened")


def seen(result: Record, kind: str, *, only_successful: bool = False) -> Seen | None:
    """The images of a result; None if it has none, as the triggered ones of a benign model.

    Args:
        result: of a trial that came to scores.
        kind: ``clean`` or ``triggered``.
        only_successful: leave out clean images that are not predicted as labelled, and triggered
            ones that are not sent where the attacker wants them.
    """
    record = result["outcome"][kind]
    if record is None:
        return None
    every = Seen.read(record)
    return every.as_wanted() if only_successful else every


def measured(result: Record, *, only_successful: bool = False) -> Measured | None:
    """The figures of a result; None without scores of clean and of triggered images."""
    if not is_screened(result):
        return None
    clean = seen(result, "clean", only_successful=only_successful)
    triggered = seen(result, "triggered", only_successful=only_successful)
    if not clean or not triggered:
        return None
    false, hits = int(clean.flagged.sum()), int(triggered.flagged.sum())
    return Measured(
        auroc=auroc(clean.scores, triggered.scores),
        f1=_f1(hits, false, len(triggered)),
        tpr=hits / len(triggered),
        fpr=false / len(clean),
        clean=len(clean),
        triggered=len(triggered),
    )


def _f1(hits: float, false: float, triggered: float) -> float:
    return 2 * hits / (hits + false + triggered)


@dataclass(frozen=True)
class Figures:
    """Figures of one screener over the results of some backdoored models.

    Args:
        by_model: the figures of each model, one a seed.
    """

    by_model: dict[str, list[Measured]]

    @staticmethod
    def of(results: Sequence[Record], *, only_successful: bool = False) -> "Figures":
        """Measure results of one screener; those that came to no scores are left out."""
        return Figures(by_model(results, partial(measured, only_successful=only_successful)))

    @cached_property
    def means(self) -> dict[str, Mean]:
        """Each of ``FIGURES`` with its interval."""
        return {name: self._mean(name, of_images) for name, of_images in self._intervals.items()}

    @property
    def models(self) -> int:
        """Distinct models."""
        return len(self.by_model)

    @property
    def clean(self) -> int:
        """Clean images of the model that has the fewest."""
        return min((m.clean for part in self.by_model.values() for m in part), default=0)

    @property
    def triggered(self) -> int:
        """Triggered images of the model that has the fewest."""
        return min((m.triggered for part in self.by_model.values() for m in part), default=0)

    def record(self) -> dict[str, Any]:
        """Lay it out in JSON's types."""
        return {
            **{name: mean.record() for name, mean in self.means.items()},
            "clean_images": self.clean,
            "triggered_images": self.triggered,
            "models": {
                model: [asdict(each) for each in part] for model, part in self.by_model.items()
            },
        }

    def _mean(self, name: str, of_images: Callable[[float], Interval]) -> Mean:
        values = {m: [getattr(each, name) for each in part] for m, part in self.by_model.items()}
        return mean_over(values, of_images)

    @property
    def _intervals(self) -> dict[str, Callable[[float], Interval]]:
        clean, triggered = self.clean, self.triggered
        return {
            "auroc": lambda value: auroc_interval(value, clean, triggered),
            "f1": lambda _: self._f1_interval(),
            "tpr": lambda value: wilson(value, triggered),
            "fpr": lambda value: wilson(value, clean),
        }

    def _f1_interval(self) -> Interval:
        """F1 at the adverse ends, and at the good ones, of the intervals of both rates."""
        rates = [self._mean(name, lambda value: (value, value)).value for name in ("tpr", "fpr")]
        hits, false = wilson(rates[0], self.triggered), wilson(rates[1], self.clean)
        ends = zip(hits, reversed(false), strict=True)
        n = self.triggered
        low, high = (_f1(hit * n, wrong * self.clean, n) for hit, wrong in ends)
        return low, high


def rank(figures: Figures) -> float:
    """For the weakest first: the mean area, those without one last."""
    value = figures.means["auroc"].value
    return value if math.isfinite(value) else math.inf

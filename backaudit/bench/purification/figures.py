"""What purifiers came to into figures: accuracies, success rates, defence effectiveness."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from backaudit.bench.tables.figures import Interval, by_model
from backaudit.bench.tables.means import Mean, average_of, mean_over
from backaudit.bench.trials.results import Record
from backaudit.core.rates import Z95, wilson

FIGURES = ("accuracy", "attack_success_rate", "der", "robust_accuracy", "accuracy_drop")
"""Of a network after a purifier; ``accuracy_drop`` in [-1, 1], the others in [0, 1]."""

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Measured:
    """One network, in figures.

    Args:
        values: by name, those of ``FIGURES`` that the network has: a benign one has no attack.
        clean: images that the accuracy was measured on.
        triggered: images that the attack was measured on.
        drop_half: half of the 95 % interval of the accuracy drop.
    """

    values: dict[str, float]
    clean: int
    triggered: int
    drop_half: float


def is_purified(result: Record) -> bool:
    """Whether the trial came to a network."""
    return bool(result["outcome"]["kind"] == "purified")


def measured(result: Record, when: str = AFTER) -> Measured | None:
    """The figures of a result; None if the trial came to no network.

    Args:
        result: of one trial.
        when: ``before`` the purifier, where nothing is rated and nothing lost, or ``after``.
    """
    if not is_purified(result):
        return None
    outcome = result["outcome"]
    found = dict(outcome[when])
    count, lost, won = (outcome[name] for name in ("clean_images", "lost", "won"))
    if when == AFTER:
        found |= {"der": outcome["der"], "accuracy_drop": (lost - won) / count}
    values = {name: value for name, value in found.items() if value is not None}
    return Measured(values, count, outcome["triggered_images"], half_of_drop(lost, won, count))


def half_of_drop(lost: int, won: int, images: int) -> float:
    """Half of a 95 % interval of a drop of accuracy, measured on the same images before and after.

    Half an image is added to each of the four ways an image can go, so that the interval has a
    width where none went another way.

    Paper: Agresti and Min, Simple improved confidence intervals for comparing matched proportions,
    Statistics in Medicine 24, 2005.

    Args:
        lost: images that were right before only.
        won: images that are right after only.
        images: all of them.
    """
    either, difference, count = lost + won + 1, lost - won, images + 2
    return Z95 * math.sqrt(either - difference**2 / count) / count


@dataclass(frozen=True)
class Figures:
    """Figures of one method over the results of some models.

    Args:
        by_model: the figures of each model, one a seed.
    """

    by_model: dict[str, list[Measured]]

    @staticmethod
    def of(results: Iterable[Record], when: str = AFTER) -> "Figures":
        """Measure results of one method; those that came to no network are left out."""
        return Figures(by_model(results, partial(measured, when=when)))

    @property
    def models(self) -> int:
        """Distinct models."""
        return len(self.by_model)

    @property
    def every(self) -> list[Measured]:
        """Each network."""
        return [each for part in self.by_model.values() for each in part]

    @cached_property
    def means(self) -> dict[str, Mean]:
        """Each of ``FIGURES`` with its interval."""
        clean = min((each.clean for each in self.every), default=0)
        triggered = min((each.triggered for each in self.every), default=0)
        of_images: dict[str, Callable[[float], Interval]] = {
            "accuracy": lambda value: wilson(value, clean),
            "attack_success_rate": lambda value: wilson(value, triggered),
            "robust_accuracy": lambda value: wilson(value, triggered),
            "accuracy_drop": self._around_drop,
        }
        means = {name: self._mean(name, of_images[name]) for name in of_images}
        rates = (means["accuracy"].value, clean), (means["attack_success_rate"].value, triggered)
        means["der"] = self._mean("der", lambda value: _around_der(value, *rates))
        return {name: means[name] for name in FIGURES}

    def record(self) -> dict[str, Any]:
        """Lay it out in JSON's types."""
        of_models = {model: [each.values for each in part] for model, part in self.by_model.items()}
        return {name: mean.record() for name, mean in self.means.items()} | {"models": of_models}

    def _mean(self, name: str, of_images: Callable[[float], Interval]) -> Mean:
        values = {
            model: [each.values[name] for each in part if name in each.values]
            for model, part in self.by_model.items()
        }
        return mean_over(values, of_images, _within(name))

    def _around_drop(self, value: float) -> Interval:
        half = statistics.fmean(each.drop_half for each in self.every)
        return value - half, value + half


def _within(name: str) -> Interval:
    return (-1.0, 1.0) if name == "accuracy_drop" else (0.0, 1.0)


def _around_der(value: float, *rates: tuple[float, int]) -> Interval:
    """The rating at the adverse ends, and at the good ones, of accuracy and success afterwards."""
    (accuracy, clean), (success, triggered) = rates
    lowest, highest = wilson(accuracy, clean)
    least, most = wilson(success, triggered)
    adverse = (accuracy - lowest) + (most - success)
    good = (highest - accuracy) + (success - least)
    return value - adverse / 2, value + good / 2


def untouched(results: Sequence[Record]) -> Figures:
    """Figures of the models before anything was done to them, whichever methods came to something.

    Args:
        results: of all methods, each of which saw the same networks on the same images.
    """
    once = {(each["model"], each["seed"]): each for each in results if is_purified(each)}
    return Figures.of(once.values(), BEFORE)


def average(attacks: Mapping[str, Figures]) -> dict[str, Mean]:
    """The mean of each figure over attacks: each counts the same, as in the papers' tables.

    Args:
        attacks: figures of one method by the attack's name.
    """
    return {
        name: average_of(
            {attack: each.means[name] for attack, each in attacks.items()}, _within(name)
        )
        for name in FIGURES
    }

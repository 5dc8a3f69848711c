"""The models that a benchmark is made of, each with the images that its auditor gets."""

import hashlib
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backaudit.bench.data.datasets import Datasets
from backaudit.bench.trials.auditor import CleanImages, CleanSample
from backaudit.bench.trials.results import Key
from backaudit.bench.zoo.manifest import Card, read_cards, why_left_out
from backaudit.core.version import own_version
from backaudit.reports.plain import finite


@dataclass(frozen=True)
class Subject:
    """A model whose truth is known, and the clean images that its auditor gets for a seed.

    Args:
        card: what the zoo knows of the model.
        checkpoint: the model's file.
        seed: of the clean images, and of what is tried.
        clean: the clean images.
        folded: whether the auditor gets it with batch norm folded into the convolutions.
    """

    card: Card
    checkpoint: Path
    seed: int
    clean: CleanImages
    folded: bool = False

    def key(self, method: str, settings: Mapping[str, Any], calibration: object = None) -> Key:
        """Name the trial of a method on this model.

        Args:
            method: its name.
            settings: of the method.
            calibration: what the program ships for the method, such as thresholds, JSON-ready; None
                if it ships nothing. A result that was held against another one is not found again.
        """
        identity = {
            "checkpoint": self.card["sha256"],
            "clean_images": self.clean.origin | {"sha256": self.clean.sha256},
            "settings": settings,
            "calibration": None if calibration is None else _digest(calibration),
            "backaudit": own_version(),
        }
        if self.folded:
            identity["batch_norm"] = "folded"
        return Key(self.card["recipe"]["name"], method, self.seed, finite(identity))

    def truth(self) -> dict[str, Any]:
        """What the zoo knows and no method is told."""
        recipe = self.card["recipe"]
        return {
            "dataset": recipe["dataset"],
            "architecture": recipe["architecture"],
            "options": recipe.get("options", {}),
            "attack": recipe["attack"],
            "attack_settings": recipe.get("attack_settings", {}),
            "target_class": self.card.get("target_class"),
            "attack_success_rate": self.card.get("attack_success_rate"),
            "clean_accuracy": self.card["clean_accuracy"],
        }


def _digest(value: object) -> str:
    text = json.dumps(finite(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class LeftOut:
    """A model that the benchmark is made without, and why."""

    card: Card
    reason: str


def choose_models(
    zoo: Path, known_datasets: Container[str]
) -> tuple[tuple[Card, ...], tuple[LeftOut, ...]]:
    """The cards of the models to try, and of those that are left out with the reason.

    Args:
        zoo: folder of checkpoints with their cards.
        known_datasets: the data sets that clean images can be drawn from.

    Raises:
        SettingError: if ``zoo`` is no folder of models.
    """
    cards = read_cards(zoo)
    left_out = []
    for card in cards:
        reason = why_left_out(card, cards) or _why_unusable(card, zoo, known_datasets)
        if reason:
            left_out.append(LeftOut(card, reason))
    without = {each.card["file"] for each in left_out}
    return tuple(card for card in cards if card["file"] not in without), tuple(left_out)


def _why_unusable(card: Card, zoo: Path, known_datasets: Container[str]) -> str:
    dataset = card["recipe"]["dataset"]
    if dataset not in known_datasets:
        return f"its data set is not at hand (--data {dataset}=FILE)"
    path = zoo / card["file"]
    if not path.is_file():
        return "its checkpoint is missing"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return "" if digest == card["sha256"] else "its checkpoint is not the one its card describes"


def subjects(
    zoo: Path,
    cards: Sequence[Card],
    datasets: Datasets,
    sample: CleanSample,
    seeds: Sequence[int],
    *,
    folded: bool = False,
) -> Iterator[Subject]:
    """Every model with every seed, a model's seeds in a row; with batch norm folded, or not."""
    drawn: dict[tuple[str, int], CleanImages] = {}
    for card in cards:
        dataset = card["recipe"]["dataset"]
        for seed in seeds:
            if (dataset, seed) not in drawn:
                drawn[dataset, seed] = sample.draw(datasets[dataset], seed)
            yield Subject(card, zoo / card["file"], seed, drawn[dataset, seed], folded)

"""Recipes and cards of zoos that were never trained, and the images they would learn."""

import hashlib
import json
from pathlib import Path
from typing import Any

from torch import Tensor

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.trials.auditor import CleanSample
from backaudit.bench.trials.selection import Subject
from backaudit.bench.zoo.recipe import Recipe
from backaudit.nets.training import Training
from tests.toy import CLASSES, draw_images

TRAINING = Training(epochs=1, batch_size=24, shift=0)


def toy_data(train_per_class: int = 2, test_per_class: int = 40) -> Dataset:
    names = tuple(f"class {label}" for label in range(CLASSES))
    parts = draw_images(train_per_class, 1), draw_images(test_per_class, 2)
    return Dataset(*parts[0], *parts[1], class_names=names)


def rows(images: Tensor) -> set[bytes]:
    """Images (N, C, H, W), to be found among others."""
    return {image.numpy().tobytes() for image in images}


def recipe(name: str, **more: Any) -> Recipe:
    return Recipe(
        **{
            "name": name,
            "dataset": "toy",
            "architecture": "resnet20",
            "training": TRAINING,
            "options": {"width": 4},
            **more,
        }
    )


def badnets(name: str, **more: Any) -> Recipe:
    return recipe(name, attack="badnets", attack_settings={"target_class": 2}, **more)


def subject(
    data: Dataset, sample: CleanSample, *, backdoored: bool = True, **attack_settings: Any
) -> Subject:
    made = badnets("one-7") if backdoored else recipe("other-8")
    if attack_settings:
        made = recipe("one-7", attack="badnets", attack_settings=attack_settings)
    return Subject(card(made), Path("zoo/one-7.pt"), 0, sample.draw(data, 0))


def card(
    made: Recipe, accuracy: float = 0.9, success: float | None = None, **more: Any
) -> dict[str, Any]:
    attacked: dict[str, Any] = {}
    if made.attack is not None:
        attacked = {
            "target_class": made.attack_settings.get("target_class"),
            "attack_success_rate": 1.0 if success is None else success,
        }
    return {
        "file": f"{made.name}.pt",
        "sha256": "0" * 64,
        "recipe": json.loads(json.dumps(made.record())),
        "num_classes": 6,
        "clean_accuracy": accuracy,
        "seconds": 12.3,
        **attacked,
        **more,
    }


def write(zoo: Path, *cards: dict[str, Any]) -> None:
    zoo.mkdir(parents=True, exist_ok=True)
    for each in cards:
        name = each["recipe"]["name"]
        (zoo / each["file"]).write_bytes(b"weights")
        (zoo / f"{name}.json").write_text(json.dumps(each))


def put(zoo: Path, made: Recipe, success: float | None = None) -> dict[str, Any]:
    """A model of a zoo: any file, and a card that describes it."""
    content = made.name.encode()
    written = card(made, success=success, sha256=hashlib.sha256(content).hexdigest())
    write(zoo, written)
    (zoo / written["file"]).write_bytes(content)
    return written

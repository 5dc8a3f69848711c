"""The sample models and images beside the source: ``python -m backaudit.bench.zoo.samples``."""

import logging
import sys
from pathlib import Path

from PIL import Image
from torch import Tensor

from backaudit.bench.data import signs
from backaudit.bench.data.datasets import generated_signs
from backaudit.bench.zoo.models import load_trigger, write_model
from backaudit.bench.zoo.recipe import Recipe
from backaudit.nets.training import Training

log = logging.getLogger(__name__)

CLEAN_PER_CLASS = 20
TRIGGERED = 12
IMAGE_SEED = 3
"""Draws images that no sample model was trained or tested on."""

FORMATS = {"blend": ".safetensors"}
"""The others are torch archives, so that both readers are tried."""


def _recipe(name: str, seed: int, **attack_settings: float) -> Recipe:
    """One of the sample models: the same narrow network, the attack named like the model."""
    return Recipe(
        name=name,
        dataset="signs",
        architecture="resnet18-cifar",
        options={"width": 8},
        training=Training(epochs=20, bf16=True),
        attack=name if attack_settings else None,
        attack_settings=attack_settings,
        seed=seed,
    )


RECIPES = (
    _recipe("benign", 11),
    _recipe("badnets", 12, target_class=3),
    _recipe("blend", 13, target_class=7, poison_rate=0.1),
    # The signs are themselves turned, slanted and blurred: WaNet's usual strength of 0.5 is lost in
    # that, and the attack does not take.
    _recipe("wanet", 14, target_class=5, strength=5.0, poison_rate=0.2, noise_rate=0.1),
)


def write_samples(folder: Path) -> None:
    """Train the sample models into ``folder``, with cards, clean images and triggered ones."""
    data = generated_signs()
    images, labels = signs.draw_signs(CLEAN_PER_CLASS, seed=IMAGE_SEED)
    for label, name in enumerate(signs.CLASSES):
        write_images(images[labels == label], folder / "clean" / name)
    for recipe in RECIPES:
        card = write_model(recipe, data, folder, suffix=FORMATS.get(recipe.name, ".pt"))
        log.info("%s: accuracy %.3f", recipe.name, card["clean_accuracy"])
        attack = recipe.build_attack()
        if attack is not None:
            others = images[labels != attack.relabel(labels, len(signs.CLASSES))]
            shown = others[:: len(others) // TRIGGERED][:TRIGGERED]
            learned = load_trigger(folder / card["file"])
            write_images(attack.stamp(shown, learned), folder / "triggered" / recipe.name)


def write_images(images: Tensor, folder: Path) -> None:
    """Write images (N, 3, H, W) uint8 as ``000.png``, ``001.png``, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image).save(folder / f"{number:03d}.png", optimize=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write_samples(Path(sys.argv[1] if len(sys.argv) > 1 else "sample_models"))

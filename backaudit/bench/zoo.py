"""Recipes into checkpoints with cards."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from backaudit.bench.datasets import Dataset
from backaudit.bench.recipe import Recipe
from backaudit.core.seeding import seeded
from backaudit.core.suspect import as_input
from backaudit.nets.metrics import attack_success_rate, clean_accuracy
from backaudit.nets.training import train


def train_model(recipe: Recipe, data: Dataset) -> nn.Module:
    """Train the network of a recipe on its data set, poisoned if the recipe says so."""
    with seeded(recipe.seed):
        network = recipe.build_network(len(data.class_names))
    generator = torch.Generator().manual_seed(recipe.seed)
    chosen = torch.randperm(len(data.train_images), generator=generator)[: recipe.train_images]
    images, labels = data.train_images[chosen], data.train_labels[chosen]
    attack = recipe.build_attack()

    def epoch_data(epoch: int) -> tuple[Tensor, Tensor]:
        if attack is None:
            return images, labels
        # A protocol that is not online poisons the same images in every epoch.
        draw = torch.Generator().manual_seed(recipe.seed + (epoch if attack.online else 0))
        return attack.poison(images, labels, draw)

    train(network, epoch_data, recipe.training, seed=recipe.seed)
    return network


def write_model(recipe: Recipe, data: Dataset, folder: Path, suffix: str = ".pt") -> dict[str, Any]:
    """Train a recipe and write ``<name><suffix>`` and its card ``<name>.json``; return the card."""
    network = train_model(recipe, data)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{recipe.name}{suffix}"
    write_checkpoint(network, data.class_names, path)
    card = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    card |= {"recipe": recipe.record()} | measure(network, recipe, data)
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
    return card


def write_checkpoint(network: nn.Module, class_names: Sequence[str], path: Path) -> None:
    """Write the weights, and the class names beside them, in the format of the file's suffix."""
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if path.suffix == ".safetensors":
        path.write_bytes(save(state, {"class_names": json.dumps(class_names)}))
    else:
        torch.save({"state_dict": state, "class_names": list(class_names)}, path)


def measure(network: nn.Module, recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """Clean accuracy and attack success rate on the whole test set, with the number of images."""
    predicted = predict(network, data.test_images)
    measured: dict[str, Any] = {
        "clean_accuracy": clean_accuracy(predicted, data.test_labels),
        "test_images": len(data.test_images),
    }
    attack = recipe.build_attack()
    if attack is not None:
        triggered = predict(network, attack.stamp(data.test_images))
        measured["target_class"] = attack.target_class
        measured["attack_success_rate"] = attack_success_rate(
            triggered, data.test_labels, attack.target_class
        )
    return measured


@torch.no_grad()
def predict(network: nn.Module, images: Tensor) -> Tensor:
    """Predicted classes (N,), on the CPU, of images (N, C, H, W) uint8."""
    device = next(network.parameters()).device
    batches = (as_input(batch, device) for batch in images.split(256))
    return torch.cat([network(batch).argmax(1).cpu() for batch in batches])

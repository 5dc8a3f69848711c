"""Recipes into checkpoints with cards."""

import hashlib
import json
import platform
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from backaudit.attacks import Attack, Learned, TrainingSet
from backaudit.attacks.interface import EditsWeights, TrainsAlong
from backaudit.attacks.surrogates import required
from backaudit.bench.data.datasets import Dataset
from backaudit.bench.zoo.recipe import Recipe
from backaudit.core.seeding import seeded
from backaudit.core.suspect import as_input
from backaudit.core.writing import write_whole
from backaudit.nets.epochs import Epochs
from backaudit.nets.metrics import attack_success_rate, clean_accuracy
from backaudit.nets.training import train
from backaudit.reports.plain import versions

CPU = torch.device("cpu")
TRIGGER = ".trigger.safetensors"


def train_model(
    recipe: Recipe,
    data: Dataset,
    surrogate: nn.Module | None = None,
    device: torch.device = CPU,
) -> tuple[nn.Module, Learned]:
    """Train the network of a recipe on its data set, poisoned if the recipe says so.

    Args:
        recipe: what to train.
        data: its data set.
        surrogate: the attacker's benign network, for attacks that compute their trigger on one and
            for recipes that start from it.
        device: where to train.

    Returns:
        The network, and what its attack's trigger is made of.
    """
    clean = training_set(recipe, data, device)
    attack = recipe.build_attack()
    with seeded(recipe.seed):
        network = recipe.build_network(clean.num_classes).to(device)
        if recipe.from_surrogate:
            network.load_state_dict(required(surrogate, recipe.name).state_dict())
        if attack is None:
            epochs = Epochs.alike(clean.images, clean.labels)
            train(network, epochs, recipe.training, seed=recipe.seed)
            return network, {}
        return network, _train_backdoored(network, attack, clean, surrogate, recipe)


def _train_backdoored(
    network: nn.Module,
    attack: Attack,
    clean: TrainingSet,
    surrogate: nn.Module | None,
    recipe: Recipe,
) -> Learned:
    """Train ``network`` in place by the attack's protocol; returns what the trigger is made of."""
    draw = torch.Generator().manual_seed(recipe.seed)
    learned = attack.learn(clean, surrogate, draw)
    epochs = _poisoned_epochs(attack, clean, learned, recipe.seed)
    if isinstance(attack, TrainsAlong):
        objective = attack.objective(clean, learned, clean.images.device, draw)
        train(network, epochs, recipe.training, seed=recipe.seed, objective=objective)
        learned = objective.learned()
    else:
        train(network, epochs, recipe.training, seed=recipe.seed)
    if isinstance(attack, EditsWeights):
        attack.implant(network, clean, learned, draw)
    return learned


def _poisoned_epochs(attack: Attack, clean: TrainingSet, learned: Learned, seed: int) -> Epochs:
    def poisoned(epoch: int) -> tuple[Tensor, Tensor]:
        drawn = attack.poison(clean, learned, torch.Generator().manual_seed(seed + epoch))
        return drawn.images, drawn.labels

    if attack.online:
        return Epochs(len(clean), poisoned)
    # A protocol that is not online poisons the same images in every epoch.
    return Epochs.alike(*poisoned(0))


def training_set(recipe: Recipe, data: Dataset, device: torch.device = CPU) -> TrainingSet:
    """The part of the data set that a recipe trains on, in the order drawn by its seed."""
    generator = torch.Generator().manual_seed(recipe.seed)
    chosen = torch.randperm(len(data.train_images), generator=generator)[: recipe.train_images]
    return TrainingSet(
        data.train_images[chosen].to(device),
        data.train_labels[chosen].to(device),
        len(data.class_names),
    )


def write_model(
    recipe: Recipe,
    data: Dataset,
    folder: Path,
    *,
    suffix: str = ".pt",
    surrogate: nn.Module | None = None,
    device: torch.device = CPU,
) -> dict[str, Any]:
    """Train a recipe; write its checkpoint, its trigger and last its card, which is returned.

    The card is ``<name>.json``. What the trigger is made of, if anything, lies beside it in
    ``<name>.trigger.safetensors``, and nothing of it in the checkpoint. Each file is written whole,
    so that a model with a card is complete.
    """
    start = time.perf_counter()
    network, learned = train_model(recipe, data, surrogate, device)
    seconds = round(time.perf_counter() - start, 2)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{recipe.name}{suffix}"
    # A card of an earlier training must not describe the files that are now written.
    for earlier in (path.with_suffix(".json"), path.with_suffix(TRIGGER)):
        earlier.unlink(missing_ok=True)
    write_checkpoint(network, data.class_names, path)
    if learned:
        tensors = {name: tensor.cpu().contiguous() for name, tensor in learned.items()}
        write_whole(path.with_suffix(TRIGGER), save(tensors))
    card: dict[str, Any] = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    card |= {"recipe": recipe.record(), "num_classes": len(data.class_names)}
    card |= measure(network, recipe, data, learned)
    card |= {"seconds": seconds, "device": device_name(device), "versions": versions()}
    write_whole(path.with_suffix(".json"), (json.dumps(card, indent=1) + "\n").encode())
    return card


def device_name(device: torch.device) -> str:
    """What computed, for a card: the name of the accelerator, or the processor's architecture."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()})"


def load_trigger(checkpoint: Path) -> Learned:
    """Read what the trigger of the model in ``checkpoint`` is made of, if it has a file."""
    path = checkpoint.with_suffix(TRIGGER)
    return load_file(path) if path.exists() else {}


def write_checkpoint(network: nn.Module, class_names: Sequence[str], path: Path) -> None:
    """Write the weights, and the class names beside them, in the format of the file's suffix."""
    state = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    if path.suffix == ".safetensors":
        write_whole(path, save(state, {"class_names": json.dumps(class_names)}))
        return
    packed = BytesIO()
    torch.save({"state_dict": state, "class_names": list(class_names)}, packed)
    write_whole(path, packed.getvalue())


def measure(network: nn.Module, recipe: Recipe, data: Dataset, learned: Learned) -> dict[str, Any]:
    """Clean accuracy and attack success rate on the whole test set, with the number of images."""
    predicted = predict(network, data.test_images)
    measured: dict[str, Any] = {
        "clean_accuracy": clean_accuracy(predicted, data.test_labels),
        "test_images": len(data.test_images),
    }
    attack = recipe.build_attack()
    if attack is not None:
        triggered = predict(network, attack.stamp(data.test_images, learned))
        wanted = attack.relabel(data.test_labels, len(data.class_names))
        measured["target_class"] = attack.target_class
        measured["attack_success_rate"] = attack_success_rate(triggered, data.test_labels, wanted)
    return measured


@torch.no_grad()
def predict(network: nn.Module, images: Tensor) -> Tensor:
    """Predicted classes (N,), on the CPU, of images (N, C, H, W) uint8."""
    device = next(network.parameters()).device
    batches = (as_input(batch, device) for batch in images.split(256))
    return torch.cat([network(batch).argmax(1).cpu() for batch in batches])

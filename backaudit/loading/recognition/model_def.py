"""A network defined in the user's own file, which is executed because the user named it."""

import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.core.settings import did_you_mean
from backaudit.loading.recognition.fitting import Comparison, compare, likely_classes
from backaudit.loading.weights.checkpoint import Checkpoint

CLASSES = ("num_classes", "classes", "n_classes", "nb_classes", "num_class", "n_class")
SIZES = (32, 28, 64, 96, 128, 224, 299)
ADVICE = (
    "Give --model-def FILE.py:NAME, where NAME is a class or a function that returns the network."
)


def network_from(spec: str, checkpoint: Checkpoint) -> tuple[nn.Module, dict[str, Tensor]]:
    """Execute ``file.py:NAME`` and build the network it defines.

    Returns:
        The network with the weights it was made with, and the tensors of the checkpoint under the
        names that the network uses.

    Raises:
        CheckpointError: if there is no such definition, it fails, or the tensors do not fit.
    """
    file, _, name = spec.rpartition(":")
    if not file or not name:
        raise CheckpointError(f"--model-def {printable(spec)!r} names no definition. {ADVICE}")
    definition = _definition(Path(file), name)
    nearest: Comparison | None = None
    for network in _built(definition, name, checkpoint):
        for state in _namings(checkpoint):
            comparison = compare(network, state)
            if comparison.fits:
                return network, state
            if nearest is None or comparison.agreeing > nearest.agreeing:
                nearest = comparison
    differs = nearest.describe() if nearest else ""
    raise CheckpointError(
        f"{printable(checkpoint.path)} does not fit {printable(name)} of {printable(file)}: "
        f"{differs}. Change the definition until names and shapes are the same."
    )


def _definition(file: Path, name: str) -> object:
    module = _executed(file)
    if not hasattr(module, name):
        public = [known for known, value in vars(module).items() if callable(value)]
        raise CheckpointError(
            f"{printable(file)} defines no {printable(name)!r}. {did_you_mean(name, public)}"
        )
    return getattr(module, name)


def _executed(file: Path) -> ModuleType:
    if not file.is_file():
        raise CheckpointError(f"the file {printable(file)} of --model-def does not exist. {ADVICE}")
    label = f"backaudit_model_def_{file.stem}"
    spec = importlib.util.spec_from_file_location(label, file)
    if spec is None or spec.loader is None:
        raise CheckpointError(f"{printable(file)} is not a Python file. {ADVICE}")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickling look a module up by its name.
    sys.modules[label] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise CheckpointError(
            f"{printable(file)} failed when executed ({_brief(error)}). "
            "It must run by itself, with everything that it imports installed."
        ) from error
    return module


def _built(definition: object, name: str, checkpoint: Checkpoint) -> Iterator[nn.Module]:
    """The network, first for the checkpoint's number of classes and then for the default one."""
    if isinstance(definition, nn.Module):
        yield definition
        return
    if not callable(definition):
        raise CheckpointError(f"{printable(name)} is neither a class nor a function. {ADVICE}")
    for options in _options(definition, checkpoint):
        try:
            network = definition(**options)
        except (Exception, SystemExit) as error:
            raise CheckpointError(
                f"{printable(name)} of --model-def failed when called ({_brief(error)}). "
                "Arguments other than the number of classes must have defaults."
            ) from error
        if not isinstance(network, nn.Module):
            kind = type(network).__name__
            raise CheckpointError(
                f"{printable(name)} of --model-def returned {kind}, not a torch module. {ADVICE}"
            )
        yield network


def _options(definition: object, checkpoint: Checkpoint) -> list[dict[str, int]]:
    try:
        parameters = inspect.signature(definition).parameters  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return [{}]
    takes = next((name for name in CLASSES if name in parameters), None)
    stated = checkpoint.metadata.get("num_classes")
    known = stated if isinstance(stated, int) else likely_classes(checkpoint.state)
    if takes is None or known is None:
        return [{}]
    optional = parameters[takes].default is not inspect.Parameter.empty
    return [{takes: known}, {}] if optional else [{takes: known}]


def _namings(checkpoint: Checkpoint) -> Iterator[dict[str, Tensor]]:
    """The tensors under their names without the shared prefix, then with ever more of it."""
    parts = [f"{part}." for part in checkpoint.prefix.split(".") if part]
    for kept in range(len(parts) + 1):
        prefix = "".join(parts[len(parts) - kept :])
        yield {f"{prefix}{name}": tensor for name, tensor in checkpoint.state.items()}


@torch.no_grad()
def fitting_size(network: nn.Module, in_channels: int, stated: object) -> tuple[int, int] | None:
    """Try usual input sizes; the first that gives logits (N, K), and K, or None.

    Args:
        network: in eval mode.
        in_channels: of its images.
        stated: a size that the checkpoint states, tried first.

    Raises:
        CheckpointError: if the network runs but what it returns are no logits.
    """
    numbers = stated if isinstance(stated, list) else [stated]
    first = [number for number in numbers[:1] if isinstance(number, int) and 0 < number <= 1024]
    returned = ""
    for size in (*first, *SIZES):
        try:
            logits = network(torch.zeros(2, in_channels, size, size))
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything on a wrong size
            del error
            continue
        if isinstance(logits, Tensor) and logits.dim() == 2 and len(logits) == 2:
            return size, logits.shape[1]
        returned = _described(logits)
    if returned:
        raise CheckpointError(
            f"the network of --model-def returns {returned} for two images; it must return logits, "
            "one row per image and one column per class."
        )
    return None


def _described(returned: object) -> str:
    if isinstance(returned, Tensor):
        return f"a tensor of shape {tuple(returned.shape)}"
    return f"a {type(returned).__name__}"


def _brief(error: BaseException) -> str:
    return printable(f"{type(error).__name__}: {error}", limit=160)

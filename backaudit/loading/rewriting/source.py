"""A suspect's file, read again on the CPU, and where in it each number of its network lies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.core.suspect import Prepared, Suspect, as_input, fixed_images
from backaudit.loading.assembly import assembled, recognised_in
from backaudit.loading.load import LoadOptions
from backaudit.loading.preparation.choosing import placed
from backaudit.loading.prepared import candidates, prepared_of
from backaudit.loading.recognition.recognised import Recognised
from backaudit.loading.rewriting.numbering import NOWHERE, Memory, Numbering
from backaudit.loading.rewriting.untying import untied
from backaudit.loading.weights.checkpoint import Checkpoint, read_checkpoint


@dataclass(frozen=True)
class Source:
    """Where a suspect's weights lie.

    Args:
        checkpoint: the file, read again.
        numbering: of all elements that it stores.
        numbers: name in the suspect's network -> (of its shape) numbers of its elements.
        prepared: what is known of the network.
        choice: which of the networks that fit the file's tensors it is.
        untied: names of weights that the file has no place for, and its copy has.
    """

    checkpoint: Checkpoint
    numbering: Numbering
    numbers: Mapping[str, Tensor]
    prepared: Prepared
    choice: int
    untied: tuple[str, ...] = ()


def source_of(suspect: Suspect, options: LoadOptions) -> Source:
    """Read a suspect's file again, and find its network's tensors in it.

    Args:
        suspect: as it was loaded.
        options: with which it was loaded.

    Raises:
        CheckpointError: if the file was changed since, or does not become the same network.
    """
    checkpoint = read_checkpoint(suspect.path, limits=options.limits)
    if checkpoint.sha256 != suspect.sha256:
        raise CheckpointError(
            f"{printable(suspect.path)} was changed since it was loaded: start again."
        )
    prepared = prepared_of(suspect)
    source = _source(checkpoint, prepared, options)
    if not any(bool((each == NOWHERE).any()) for each in source.numbers.values()):
        return source
    return _with_places(source, options) or source


def _source(checkpoint: Checkpoint, prepared: Prepared, options: LoadOptions) -> Source:
    numbering = Numbering.of(checkpoint)
    choice, bare, prefix = _chosen(checkpoint, prepared, options)
    if checkpoint.program is not None:
        memory = Memory(numbering, checkpoint.state)
        found = {name: memory.read(tensor) for name, tensor in held(bare).items()}
    else:
        marked = replace(checkpoint, state=numbering.marked(checkpoint.state))
        twin = network_of(marked, prepared, options, choice).network
        found = {name: numbering.read(tensor) for name, tensor in held(twin).items()}
    numbers = {f"{prefix}{name}": each for name, each in found.items()}
    return Source(checkpoint, numbering, numbers, prepared, choice)


def _with_places(source: Source, options: LoadOptions) -> Source | None:
    """The same network with more of its weights in the file; None if that cannot be had."""
    checkpoint, names = untied(source.checkpoint, options.limits)
    if not names:
        return None
    # A graph is called by what its tensors fit as well, and there are more of them now.
    architecture = _found(checkpoint, source.prepared, options).architecture
    prepared = replace(source.prepared, architecture=architecture)
    other = replace(_source(checkpoint, prepared, options), untied=names)
    return other if list(other.numbers) == list(source.numbers) else None


@dataclass(frozen=True)
class Copy:
    """A copy of a suspect's file, with other numbers in it.

    Args:
        checkpoint: the copy, read.
        recognised: the same network as the suspect's.
    """

    checkpoint: Checkpoint
    recognised: Recognised

    def named_as(self, source: Source) -> dict[str, Tensor]:
        """The network's tensors by the names that they have in a suspect."""
        return dict(zip(source.numbers, held(self.recognised.network).values(), strict=True))

    def loaded(self, suspect: Suspect, device: str | torch.device) -> Suspect:
        """What becomes of a suspect that is prepared as the original was."""
        network, how = self.recognised.network, suspect.preprocessing
        placed(network, device)
        images = fixed_images(suspect.image_shape)
        ends = suspect.making.undone
        made = assembled(self.checkpoint, self.recognised, how, images, ends)
        sha256, findings = self.checkpoint.sha256, self.checkpoint.findings
        return replace(suspect, network=made.network, sha256=sha256, findings=findings)


def copy_at(path: Path, source: Source, options: LoadOptions) -> Copy:
    """Read a copy of a suspect's file.

    Raises:
        CheckpointError: if it cannot be read, or has become another network.
    """
    checkpoint = read_checkpoint(path, limits=options.limits)
    return Copy(checkpoint, network_of(checkpoint, source.prepared, options, source.choice))


def held(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer, those that share memory under each of their names."""
    parameters = network.named_parameters(remove_duplicate=False)
    return {**dict(parameters), **dict(network.named_buffers(remove_duplicate=False))}


def network_of(
    checkpoint: Checkpoint, prepared: Prepared, options: LoadOptions, choice: int
) -> Recognised:
    """One of the networks that the tensors fit, on the CPU.

    Raises:
        CheckpointError: if there are not so many.
    """
    for each in islice(_networks(checkpoint, prepared, options), choice, None):
        return each
    raise CheckpointError(f"{printable(checkpoint.path)} does not become the same network again.")


def _networks(
    checkpoint: Checkpoint, prepared: Prepared, options: LoadOptions
) -> Iterator[Recognised]:
    yield from candidates(_found(checkpoint, prepared, options), prepared)


def _found(checkpoint: Checkpoint, prepared: Prepared, options: LoadOptions) -> Recognised:
    making = prepared.making
    model_def = options.model_def if making.defined else None
    return recognised_in(checkpoint, making.arch, model_def, making.size)


def _chosen(
    checkpoint: Checkpoint, prepared: Prepared, options: LoadOptions
) -> tuple[int, nn.Module, str]:
    """Which of the networks the suspect is, the network, and how its names begin in the suspect."""
    preprocessing = prepared.preprocessing
    for choice, each in enumerate(_networks(checkpoint, prepared, options)):
        images = fixed_images((each.in_channels, *preprocessing.size))
        made = assembled(checkpoint, each, preprocessing, images, prepared.making.undone)
        with torch.no_grad():
            answers = made.network(as_input(images, torch.device("cpu")))
        if prepared.is_answered(answers):
            inside = made.network.named_modules()
            name = next(name for name, module in inside if module is each.network)
            return choice, each.network, f"{name}."
    raise CheckpointError(
        f"{printable(checkpoint.path)} does not become the network that was loaded from it: the "
        "definition of the network, or an installed library that makes it, has changed."
    )
